"""Clone many databases at once, a few at a time.

    python many.py mysql://app@db1.example mysql://app@db2.example --at-once 3 shop stock wages

One that fails does not keep the others from being cloned; Ctrl-C cancels all, and nothing half-made is left.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

import dbgraft


async def clone(source: str, target: str, name: str, bound: asyncio.Semaphore) -> str:
    async with bound:
        print(f"{name}: begins", flush=True)
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
    words = parser.parse_args()
    bound = asyncio.Semaphore(words.at_once)
    failures = await asyncio.gather(*(clone(words.source, words.target, name, bound) for name in words.databases))
    failures = [failure for failure in failures if failure]
    print("\n".join(failures), file=sys.stderr, end="")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
