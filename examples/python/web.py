"""A service that starts clones, streams their progress to a small page, and can cancel them.

    pip install fastapi uvicorn
    DATABASES='{"shop": ["mysql://app@db1/shop", "mysql://app@db2/shop_copy"]}' uvicorn web:app

It has no login: put it behind a proxy that has one. It clones only the databases in DATABASES.
"""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dbgraft
from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse, StreamingResponse

DATABASES: dict[str, tuple[str, str]] = json.loads(os.environ.get("DATABASES", "{}"))
OPTIONS: dict[str, Any] = json.loads(os.environ.get("OPTIONS", '{"if_exists": "drop"}'))


@dataclass
class Clone:
    """A clone, and its last event for all listeners."""

    job: dbgraft.CloneJob
    last: dict[str, Any] = field(default_factory=lambda: {"event": "phase", "phase": "waiting"})
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    task: asyncio.Task[None] | None = None

    async def publish(self, event: dict[str, Any]) -> None:
        async with self.changed:
            self.last = event
            self.changed.notify_all()

    async def run(self) -> None:
        try:
            async for event in self.job:
                await self.publish(event.to_dict())
            report = await self.job
            await self.publish({"event": "end", "outcome": "done", "rows": report.rows, "seconds": report.seconds})
        except dbgraft.CancelledError:
            await self.publish({"event": "end", "outcome": "cancelled"})
        except dbgraft.CloneError as error:
            await self.publish({"event": "end", "outcome": "failed", "message": str(error)})

    async def stream(self) -> AsyncIterator[str]:
        """Server-sent events: a slow client gets the latest event only."""
        sent: dict[str, Any] | None = None
        while sent is None or sent["event"] != "end":
            async with self.changed:
                await self.changed.wait_for(lambda sent=sent: self.last is not sent)
                sent = self.last
            yield f"data: {json.dumps(sent)}\n\n"


clones: dict[str, Clone] = {}


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield
    for clone in clones.values():  # cleans up when the service ends
        clone.job.cancel()
    await asyncio.gather(*(clone.task for clone in clones.values() if clone.task))


app = FastAPI(lifespan=lifespan)


def known(name: str) -> Clone:
    if name not in clones:
        raise HTTPException(404, "there is no such clone")
    return clones[name]


@app.get("/")
async def page() -> FileResponse:
    return FileResponse(Path(__file__).parent / "web.html")


@app.get("/databases")
async def databases() -> list[str]:
    return list(DATABASES)


@app.post("/clones/{database}")
async def start(database: str) -> dict[str, str]:
    if database not in DATABASES:
        raise HTTPException(404, "there is no such database")
    name = uuid.uuid4().hex
    clone = clones[name] = Clone(dbgraft.CloneJob(*DATABASES[database], **OPTIONS))
    clone.task = asyncio.create_task(clone.run())
    return {"clone": name}


@app.get("/clones/{name}/events")
async def events(name: str) -> StreamingResponse:
    return StreamingResponse(
        known(name).stream(), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
    )


@app.delete("/clones/{name}")
async def cancel(name: str) -> dict[str, str]:
    clone = known(name)
    clone.job.cancel()
    if clone.task:
        await asyncio.wait([clone.task])
    return {"outcome": clone.last.get("outcome", "")}
