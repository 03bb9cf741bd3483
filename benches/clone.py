"""Clones a TPC-H database by each method in turn, and prints the cost of each.

clone.sh starts the servers and runs this.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import tpch
from measure import Cost, pipeline, server_cpu
from servers import Bucket, Server, running

FROM, TO, PREFIX = "tpch", "tpch_copy", "bench"


@dataclass(frozen=True)
class Bench:
    """The servers and the directory of the programs."""

    source: Server
    target: Server
    bucket: Bucket
    threads: int
    programs: Path

    def dump_through_s3(self) -> Cost:
        """Clone by mysqldump to S3 and from S3."""
        self.target.sql(f"CREATE DATABASE {TO}")
        options = ["--single-transaction", "--routines", "--triggers", "--events"]
        if self.source.flavor == "mysql":
            options.append("--set-gtid-purged=OFF")  # the target refuses a second load otherwise
        dump_url, aws = f"s3://{self.bucket.name}/{PREFIX}/dump.sql.gz", ["aws", "s3", "cp", "--only-show-errors"]
        export = [self.source.program("mysqldump", *options, FROM), ["gzip", "-9"], [*aws, "-", dump_url]]
        load = [[*aws, dump_url, "-"], ["gunzip"], self.target.program("mysql", TO)]
        exported = pipeline(*export, environment=self.source.environment)
        return exported.plus(pipeline(*load, environment=self.target.environment))

    def through_s3(self) -> Cost:
        """Clone by dbgraft through S3."""
        return self.dbgraft("--via", f"s3://{self.bucket.name}/{PREFIX}")

    def direct(self) -> Cost:
        """Clone by dbgraft directly."""
        return self.dbgraft()

    def dbgraft(self, *options: str) -> Cost:
        """Run `dbgraft clone` with the passwords in the environment."""
        passwords = {
            "DBGRAFT_SOURCE_PASSWORD": self.source.password,
            "DBGRAFT_TARGET_PASSWORD": self.target.password,
        }
        endpoints = [url_of(self.source, FROM), url_of(self.target, TO)]
        settings = ["--threads", str(self.threads), "--progress", "none", *options]
        return pipeline([str(self.programs / "dbgraft"), "clone", *endpoints, *settings], environment=passwords)

    def clean(self) -> None:
        """Remove the last clone."""
        self.target.sql(f"DROP DATABASE IF EXISTS {TO}")
        url = f"s3://{self.bucket.name}/{PREFIX}"
        subprocess.run(["aws", "s3", "rm", "--only-show-errors", "--recursive", url], check=True)

    def check_counts(self) -> None:
        """Fail unless both sides have the same number of rows in every table."""
        source, target = tpch.counts(self.source, FROM), tpch.counts(self.target, TO)
        if source != target:
            raise RuntimeError(f"the clone is not equal to its source: {source} and {target}")

    def compare(self) -> None:
        """Fail unless the test kit, which shares no code with dbgraft, finds both sides equal."""
        both = [f"{self.source.url}/{FROM}", f"{self.target.url}/{TO}"]
        subprocess.run([str(self.programs / "testkit"), "compare", *both], check=True)

    def measure_clone(self, method: Callable[[], Cost]) -> "CloneRun":
        """Remove the last clone, measure one clone, and check it."""
        self.clean()
        before = server_cpu(self.source.pid), server_cpu(self.target.pid)
        cost = method()
        after = server_cpu(self.source.pid), server_cpu(self.target.pid)
        self.check_counts()
        return CloneRun(cost, after[0] - before[0], after[1] - before[1])


def journal_share(bench: Bench) -> float | None:
    """Clone once more, and return the journal's share of the time of all statements at the target, if it is measured."""
    if bench.target.flavor != "mysql":
        return None  # MariaDB has no performance_schema by default
    bench.clean()
    summary = "performance_schema.events_statements_summary_by_digest"
    bench.target.sql(f"TRUNCATE {summary}")
    bench.direct()
    share = (
        f"SUM(IF(DIGEST_TEXT LIKE '%\\_dbgraft\\_journal%', SUM_TIMER_WAIT, 0)) / SUM(SUM_TIMER_WAIT) FROM {summary}"
    )
    return float(bench.target.sql(f"SELECT {share} WHERE DIGEST_TEXT NOT LIKE '%GET_LOCK%'"))


@dataclass(frozen=True)
class CloneRun:
    """The measurement of one clone."""

    client: Cost
    source_cpu: float
    target_cpu: float


def url_of(server: Server, database: str) -> str:
    """Return the URL of a database, without a password."""
    return f"mysql://{server.user}@{server.host}:{server.port}/{database}"


def bytes_in_s3(bench: Bench) -> tuple[int, int]:
    """Return the bytes that mysqldump and dbgraft store in S3. These untimed clones also warm up the servers."""
    bench.clean()
    bench.dump_through_s3()
    today = bench.bucket.bytes_below(PREFIX)
    bench.clean()
    bench.dbgraft("--via", f"s3://{bench.bucket.name}/{PREFIX}", "--keep-archive")
    bench.compare()
    return today, bench.bucket.bytes_below(PREFIX)


def table(methods: dict[str, list[CloneRun]], stored: dict[str, int]) -> str:
    """Format the medians as a table, relative to the first method."""
    lines = [
        "| method | wall s | faster | client CPU s | less | peak MiB | largest | in S3 MB | source CPU s | target CPU s |",
        "| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |",
    ]
    wall, cpu = (median(next(iter(methods.values())), key) for key in (lambda r: r.client.wall, lambda r: r.client.cpu))
    for name, runs in methods.items():
        this_wall, this_cpu = median(runs, lambda r: r.client.wall), median(runs, lambda r: r.client.cpu)
        peak, largest = median(runs, lambda r: r.client.peak), median(runs, lambda r: r.client.largest)
        servers = median(runs, lambda r: r.source_cpu), median(runs, lambda r: r.target_cpu)
        in_s3 = f"{stored[name] / 1e6:.1f}" if name in stored else "–"
        lines.append(
            f"| {name} | {this_wall:.1f} | {wall / this_wall:.1f}× | {this_cpu:.1f} | {cpu / this_cpu:.1f}× "
            f"| {peak / 2**20:.0f} | {largest / 2**20:.0f} | {in_s3} | {servers[0]:.1f} | {servers[1]:.1f} |"
        )
    return "\n".join(lines)


def median(runs: list[CloneRun], key: Callable[[CloneRun], float]) -> float:
    """Return the median of the runs."""
    return statistics.median(key(run) for run in runs)


def say(text: str) -> None:
    """Print a progress message."""
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Run the benchmark."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--flavor", choices=["mysql", "mariadb"], default="mysql")
    arguments.add_argument("--scale", default="0.2", help="TPC-H scale factor: 1 is about a gigabyte of rows")
    arguments.add_argument("--threads", type=int, default=4, help="of dbgraft")
    arguments.add_argument("--rounds", type=int, default=3, help="how often each method is measured")
    arguments.add_argument("--directory", type=Path, required=True, help="for the data and the results")
    options = arguments.parse_args()

    source, target, bucket = running(options.flavor)
    programs = Path(os.environ["DBGRAFT_TESTKIT_BIN"]).parent
    bench = Bench(source, target, bucket, options.threads, programs)
    say(f"TPC-H at scale {options.scale} is loaded into {source.flavor} {source.version}")
    tpch.load(source, FROM, tpch.generate(options.scale, options.directory))
    say("an untimed round: bytes in S3, and a comparison of all rows")
    today, dbgraft = bytes_in_s3(bench)

    methods = {"today": bench.dump_through_s3, "dbgraft --via s3": bench.through_s3, "dbgraft direct": bench.direct}
    results: dict[str, list[CloneRun]] = {name: [] for name in methods}
    for number in range(options.rounds):
        # Alternates the order, so that no method always follows the same one.
        for name, method in list(methods.items())[:: 1 if number % 2 == 0 else -1]:
            run = bench.measure_clone(method)
            results[name].append(run)
            say(f"round {number + 1}: {name}: {run.client.wall:.1f} s")
    share = journal_share(bench)
    bench.clean()

    stored = {"today": today, "dbgraft --via s3": dbgraft}
    heading = f"{source.flavor} {source.version}, scale {options.scale}, {options.threads} threads"
    print(f"\n{heading}, median of {options.rounds}\n\n{table(results, stored)}")
    if share is not None:
        print(
            f"\nThe journal takes {100 * share:.2f} % of the time of all statements at the target (one direct clone)."
        )
    output = options.directory / f"clone-{options.flavor}-{options.scale}.json"
    runs = {name: [asdict(run) for run in runs] for name, runs in results.items()}
    about = {"flavor": source.flavor, "version": source.version, "scale": options.scale, "threads": options.threads}
    output.write_text(json.dumps({**about, "bytes_in_s3": stored, "runs": runs}, indent=2))
    say(f"\nevery run is in {output}")


if __name__ == "__main__":
    main()
