"""Refresh a part of a staging database through S3, every night, with a progress bar on a terminal.

    python nightly.py mysql://app@db1.example/shop mysql://app@staging.example/shop s3://bucket/staging

Tables are replaced, the recent orders only are taken, and the clone is compared with what was read.
"""

from __future__ import annotations

import argparse
import logging
import sys

import dbgraft


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="the production database: mysql://user@host/database")
    parser.add_argument("target", help="the staging database")
    parser.add_argument("via", help="where the rows are staged: s3://bucket/prefix")
    parser.add_argument("--table", action="append", help="a table to take: a name or a pattern; may be repeated")
    parser.add_argument("--where", action="append", default=[], metavar="TABLE=CONDITION", help="only these rows")
    words = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    try:
        report = dbgraft.clone(
            words.source,
            words.target,
            via=words.via,
            include=words.table or [],
            where=dict(condition.split("=", 1) for condition in words.where),
            if_exists="drop",
            verify="checksum",
            progress=sys.stderr.isatty(),
        )
    except dbgraft.DifferentError as error:
        print(f"somebody writes into the staging database: {error}", file=sys.stderr)
        return 1
    except dbgraft.CloneError as error:
        print(f"{error.kind}: {error}", file=sys.stderr)
        return 75 if error.retryable else 1  # 75: try again later
    tables = sum(done.object.kind == "table" for done in report.objects)
    print(f"{tables} tables, {report.rows:,} rows in {report.seconds:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
