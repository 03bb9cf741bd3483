"""Clone many databases at once, a few at a time.

    python many.py mysql://app@db1.example mysql://app@db2.example --at-once 3 shop stock wages

A failed clone does not stop the others; Ctrl-C cancels all of them, and each cleans up.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

import dbgraft


async def clone(source: str, target: str, name: str, limit: asyncio.Semaphore) -> str:
    async with limit:
        print(f"{name}: started", flush=True)
        try:
            report = await dbgraft.clone_async(f"{source}/{name}", f"{target}/{name}_copy", threads=2, memory="64MiB")
        except dbgraft.CloneError as error:
            return f"{name}: {error}"
    print(f"{name}: {report.rows:,} rows in {report.seconds:.1f} s", flush=True)
    return ""


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="the server to read: mysql://user@host")
    parser.add_argument("target", help="the server to write to")
    parser.add_argument("databases", nargs="+")
    parser.add_argument("--at-once", type=int, default=2)
    arguments = parser.parse_args()
    limit = asyncio.Semaphore(arguments.at_once)
    failures = await asyncio.gather(
        *(clone(arguments.source, arguments.target, name, limit) for name in arguments.databases)
    )
    failures = [failure for failure in failures if failure]
    print("\n".join(failures), file=sys.stderr, end="")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
