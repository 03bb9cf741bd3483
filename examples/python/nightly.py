"""Refresh a part of a staging database through S3, every night, with a progress bar on a terminal.

    python nightly.py mysql://app@db1.example/shop mysql://app@staging.example/shop s3://bucket/staging

Tables are replaced, and the clone is compared with what was read.
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
    parser.add_argument("via", help="the location to stage the rows: s3://bucket/prefix")
    parser.add_argument("--table", action="append", help="a table to clone: a name or a pattern; may be repeated")
    parser.add_argument("--where", action="append", default=[], metavar="TABLE=CONDITION", help="only these rows")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    try:
        report = dbgraft.clone(
            arguments.source,
            arguments.target,
            via=arguments.via,
            include=arguments.table or [],
            where=dict(condition.split("=", 1) for condition in arguments.where),
            if_exists="drop",
            verify="checksum",
            progress=sys.stderr.isatty(),
        )
    except dbgraft.DifferentError as error:
        print(f"the staging database differs from what was read: {error}", file=sys.stderr)
        return 1
    except dbgraft.CloneError as error:
        print(f"{error.kind}: {error}", file=sys.stderr)
        return 75 if error.retryable else 1  # EX_TEMPFAIL
    tables = sum(done.object.kind == "table" for done in report.objects)
    print(f"{tables} tables, {report.rows:,} rows in {report.seconds:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
