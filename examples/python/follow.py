"""Move a live database: copy it, apply every change of the source, and cut over when the target is up to date.

    python follow.py mysql://admin@old.example/shop mysql://admin@new.example/shop

Before the cut-over you stop what writes at the source: the command after `--stop-writers` does it.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
from typing import Optional

import dbgraft


async def move(source: str, target: str, stop_writers: Optional[str]) -> dbgraft.Report:
    async with dbgraft.CloneJob(source, target, follow=True) as job:
        is_stopped = False
        async for event in job:
            if not isinstance(event, dbgraft.FollowingEvent):
                continue
            print(f"{event.lag_seconds:.1f} s behind at {event.position}")
            if event.lag_seconds < 1 and not is_stopped:
                is_stopped = True
                if stop_writers is not None:
                    await asyncio.to_thread(subprocess.run, stop_writers, shell=True, check=True)
                # What the source has committed until now is applied; then the job ends.
                job.cut_over()
        return await job


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="the live database: mysql://user@host/database")
    parser.add_argument("target", help="its new place")
    parser.add_argument("--stop-writers", metavar="COMMAND", help="run before the cut-over")
    arguments = parser.parse_args()
    try:
        report = asyncio.run(move(arguments.source, arguments.target, arguments.stop_writers))
    except dbgraft.CloneError as error:
        print(f"{error.kind}: {error}", file=sys.stderr)
        return 1
    assert report.followed is not None
    position = report.followed.position
    print(f"{report.followed.target} has every change up to {position.file}:{position.offset}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
