"""Sources and sinks of your own, and what stands for them at the native half."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Callable, Optional, Union

from . import _native
from ._model import (
    Catalog,
    Chunk,
    Fidelity,
    Finding,
    ObjectRef,
    Plan,
    Selection,
    TablePlan,
    Value,
)
from ._native import Batch
from ._values import to_sql

Row = Union[Sequence[Any], Mapping[str, Any], Batch]
"""A row: values in the order of the columns, or by their names. A `Batch` stands for all of its rows."""


class Source:
    """Where rows come from: subclass it, with `catalog()` and `read()` at least. Each method may be `async` too.

    Order of calls: `catalog()`, then `check()` and `plan()` as often as wanted, then `snapshot()` once, then `read()`
    once for each chunk of the plan, several at a time and on threads of dbgraft, then `notes()`, and `close()` last,
    whatever happened before it.
    """

    def catalog(self) -> Catalog:
        """Say what the source holds: `catalog_of()` makes it of names and column definitions. Reads only."""
        raise NotImplementedError("a Source needs catalog()")

    def check(self, selection: Selection) -> Iterable[Union[Finding, str]]:
        """Give the problems that would keep this selection from being read. Reads only."""
        return ()

    def plan(self, selection: Selection) -> Plan:
        """Give the plan that `snapshot()` would give now. By default each table is one chunk."""
        catalog = _answer(_waited(self.catalog(), None))
        return Plan.from_dict(json.loads(_native.plan_of(catalog, _answer(selection))))

    def snapshot(self, selection: Selection) -> Plan:
        """Fix the moment of the rows, and hold it until `close()`."""
        return self.plan(selection)

    def read(self, table: TablePlan, chunk: Chunk) -> Iterable[Row]:
        """Give the rows of a chunk, in the order of the key where there is one.

        They are pulled as the target takes them: a generator needs no memory for rows that nobody waits for.
        """
        raise NotImplementedError("a Source needs read()")

    def notes(self) -> Iterable[str]:
        """Say what the reading brought to light; asked once, after the last row."""
        return ()

    def close(self) -> None:
        """End everything that still runs. May be called while chunks are read, and more than once."""


class Sink:
    """Where rows go: subclass it, with `write()` at least. Each method may be `async` too.

    Order of calls: `check()` as often as wanted, `begin()` once, `write()` for each batch, several at a time, in any
    order and on threads of dbgraft, `complete()` once for each table, and `finish()` or `abort()` in the end.
    """

    def check(self, catalog: Catalog, selection: Selection) -> Iterable[Union[Finding, str]]:
        """Give the problems that would keep this selection from being written. Changes nothing."""
        return ()

    def unsupported(self, catalog: Catalog, selection: Selection) -> Iterable[Fidelity]:
        """Give what of the selection cannot be carried as it is. Changes nothing."""
        return ()

    def existing(self) -> Iterable[ObjectRef]:
        """Give the objects that are there already; with `if_exists="skip"` they are left as they are."""
        return ()

    def begin(self, plan: Plan) -> None:
        """Make ready for the rows."""

    def write(self, table: TablePlan, batch: Batch) -> None:
        """Make one batch durable, whole or not at all; when this returns, it is.

        After a `CloneError` with `retryable=True` it is called again with the same batch.
        """
        raise NotImplementedError("a Sink needs write()")

    def complete(self, table: TablePlan) -> None:
        """Every batch of the table was written."""

    def read_back(self, table: TablePlan, chunk: Chunk) -> Iterable[Row]:
        """Give what is really there of a chunk, for `verify`; without this method such a clone is refused.

        Best as batches: `batch.table` and `batch.chunk` say which ones a chunk is made of.
        """
        raise NotImplementedError("this Sink has no read_back()")

    def counterparts(self, plan: Plan) -> Iterable[Optional[TablePlan]]:
        """Give the tables of the plan as they are here, None for one that is not; for `dbgraft.verify`."""
        return plan.tables

    def finish(self, plan: Plan) -> Iterable[str]:
        """Everything was written: give what the user should know of it."""
        return ()

    def abort(self) -> None:
        """Remove what was made: the job failed or was cancelled. Other calls may still be under way."""


Columns = Union[Mapping[str, str], Iterable[tuple[str, str]]]


def catalog_of(
    tables: Iterable[tuple[str, Columns, Sequence[str]]], *, rows: Optional[Mapping[str, int]] = None
) -> Catalog:
    """Make a catalog: for each table its name, its columns (`{"id": "bigint not null"}`) and its primary key."""
    rows = rows or {}
    given = [
        (
            name,
            list(columns.items() if isinstance(columns, Mapping) else columns),
            list(key),
            rows.get(name, 0),
        )
        for name, columns, key in tables
    ]
    return Catalog.from_dict(json.loads(_native.catalog_of(given)))


def _waited(value: Any, loop: Optional[asyncio.AbstractEventLoop]) -> Any:
    """Wait for what an async method gave, on the loop of the job if it has one."""
    if not inspect.isawaitable(value):
        return value

    async def waited(value: Awaitable[Any]) -> Any:
        return await value

    if loop is not None and not loop.is_closed():
        return asyncio.run_coroutine_threadsafe(waited(value), loop).result()
    return asyncio.run(waited(value))


def _plain(value: Any) -> Any:
    if isinstance(value, Value):
        return value.to_dict()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _answer(value: Any) -> str:
    return json.dumps(_plain(value))


def _findings(found: Iterable[Union[Finding, str]]) -> str:
    return _answer([{"severity": "error", "message": f} if isinstance(f, str) else f for f in found or ()])


def _notes(found: Iterable[str]) -> str:
    return _answer([{"message": {"object": None, "message": note}} for note in found or ()])


def _read(
    method: Callable[..., Any], table: str, chunk: str, loop: Optional[asyncio.AbstractEventLoop]
) -> tuple[Iterator[Row], Callable[[Any], Any]]:
    plan, part = TablePlan.from_dict(json.loads(table)), Chunk.from_dict(json.loads(chunk))
    rows = _waited(method(plan, part), loop)
    if hasattr(rows, "__aiter__"):
        rows = _blocks(rows.__aiter__(), loop)
    return iter(rows), to_sql


def _blocks(rows: AsyncIterator[Row], loop: Optional[asyncio.AbstractEventLoop]) -> Iterator[Row]:
    async def block() -> list[Row]:
        taken: list[Row] = []
        async for row in rows:
            taken.append(row)
            if len(taken) == 1000:
                break
        return taken

    if loop is None:
        # An async generator belongs to one loop from its first row to its last.
        own = asyncio.new_event_loop()
        try:
            while taken := own.run_until_complete(block()):
                yield from taken
        finally:
            own.close()
    else:
        while taken := asyncio.run_coroutine_threadsafe(block(), loop).result():
            yield from taken


class _OwnSource:
    """Speaks for a source at the native half: JSON in and out."""

    def __init__(self, source: Source, loop: Optional[asyncio.AbstractEventLoop]) -> None:
        self._source = source
        self._loop = loop

    def _call(self, method: Callable[..., Any], *args: Any) -> Any:
        return _waited(method(*args), self._loop)

    def catalog(self, _: str) -> str:
        return _answer(self._call(self._source.catalog))

    def check(self, selection: str) -> str:
        return _findings(self._call(self._source.check, _selection(selection)))

    def plan(self, selection: str) -> str:
        return _answer(self._call(self._source.plan, _selection(selection)))

    def snapshot(self, selection: str) -> str:
        return _answer(self._call(self._source.snapshot, _selection(selection)))

    def read(self, table: str, chunk: str) -> tuple[Iterator[Row], Callable[[Any], Any]]:
        return _read(self._source.read, table, chunk, self._loop)

    def notes(self, _: str) -> str:
        return _notes(self._call(self._source.notes))

    def close(self, _: str) -> str:
        return _answer(self._call(self._source.close))


class _OwnSink:
    """Speaks for a sink at the native half."""

    def __init__(self, sink: Sink, loop: Optional[asyncio.AbstractEventLoop]) -> None:
        self._sink = sink
        self._loop = loop
        self._tables: tuple[TablePlan, ...] = ()

    def _call(self, method: Callable[..., Any], *args: Any) -> Any:
        return _waited(method(*args), self._loop)

    def check(self, given: str) -> str:
        return _findings(self._call(self._sink.check, *_choice(given)))

    def unsupported(self, given: str) -> str:
        return _answer(list(self._call(self._sink.unsupported, *_choice(given)) or ()))

    def existing(self, _: str) -> str:
        return _answer(list(self._call(self._sink.existing) or ()))

    def begin(self, plan: str) -> str:
        read = Plan.from_dict(json.loads(plan))
        self._tables = read.tables
        self._call(self._sink.begin, read)
        return _answer({"loaded": []})

    def write(self, table: int, batch: Batch) -> None:
        self._call(self._sink.write, self._tables[table], batch)

    @property
    def reads_back(self) -> bool:
        return type(self._sink).read_back is not Sink.read_back

    def counterparts(self, plan: str) -> str:
        return _answer(list(self._call(self._sink.counterparts, Plan.from_dict(json.loads(plan)))))

    def read_back(self, table: str, chunk: str) -> tuple[Iterator[Row], Callable[[Any], Any]]:
        return _read(self._sink.read_back, table, chunk, self._loop)

    def complete(self, table: str) -> str:
        return _answer(self._call(self._sink.complete, self._tables[json.loads(table)]))

    def finish(self, plan: str) -> str:
        return _notes(self._call(self._sink.finish, Plan.from_dict(json.loads(plan))))

    def abort(self, _: str) -> str:
        return _answer(self._call(self._sink.abort))


class _OwnSelector:
    """Speaks for a selector: a callable, or an object with `select()` and `rows()`."""

    def __init__(self, selector: Any) -> None:
        self._select = getattr(selector, "select", selector)
        self._rows = getattr(selector, "rows", None)

    def select(self, kind: str, name: str, table: Optional[str]) -> bool:
        return bool(self._select(ObjectRef(kind, name, table)))

    def rows(self, kind: str, name: str, table: Optional[str]) -> Optional[str]:
        found: Optional[str] = self._rows(ObjectRef(kind, name, table)) if self._rows else None
        return found


def _selection(text: str) -> Selection:
    return Selection.from_dict(json.loads(text))


def _choice(text: str) -> tuple[Catalog, Selection]:
    catalog, selection = json.loads(text)
    return Catalog.from_dict(catalog), Selection.from_dict(selection)
