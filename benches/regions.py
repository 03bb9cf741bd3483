"""Clones a TPC-H database between two regions by each way in turn, and prints what went over the lines.

Run by regions.sh, which has the servers started.
"""

import argparse
import json
import os
import shlex
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import tpch
from clone import FROM, PREFIX, TO, Bench, say
from lines import Lines, Traffic
from measure import Cost, pipeline
from servers import Host, hosts, running


@dataclass(frozen=True)
class Regions(Bench):
    """The servers, each in a region that is reached by SSH over a line of its own."""

    near: Host
    far: Host
    lines: Lines

    @property
    def agents(self) -> list[str]:
        """The work runs in the regions."""
        return ["--source-agent", self.lines.source, "--target-agent", self.lines.target]

    def agents_and_s3(self) -> Cost:
        """S3 lies between the regions, and is not reached over the lines."""
        return self.dbgraft("--via", f"s3://{self.bucket.name}/{PREFIX}", *self.agents)

    def agents_alone(self) -> Cost:
        """The rows pass here, compressed."""
        return self.dbgraft(*self.agents)

    def tunnels(self) -> Cost:
        """The rows pass here as the servers send and take them."""
        return self.dbgraft("--source-tunnel", self.lines.source, "--target-tunnel", self.lines.target)

    def today(self) -> Cost:
        """The dump passes here, compressed."""
        wanted = ["--single-transaction", "--routines", "--triggers", "--events"]
        if self.source.flavor == "mysql":
            wanted.append("--set-gtid-purged=OFF")
        self.target.sql(f"CREATE DATABASE {TO}")
        export = f"{shell(self.source.environment, self.source.program('mysqldump', *wanted, FROM))} | gzip"
        load = f"gunzip | {shell(self.target.environment, self.target.program('mysql', TO))}"
        there, back = self.near.ssh(self.lines.source, export), self.far.ssh(self.lines.target, load)
        return pipeline(there, back, environment={})

    def watched(self, way: Callable[[], Cost]) -> "Run":
        """Makes one clone, checks it, and removes it."""
        self.clean()
        cost, traffic = self.lines.watched(way)
        self.check_counts()
        return Run(cost, traffic)


@dataclass(frozen=True)
class Run:
    """One clone."""

    client: Cost
    traffic: Traffic


def shell(environment: dict[str, str], command: list[str]) -> str:
    """A command for a shell."""
    return " ".join([*(f"{name}={shlex.quote(value)}" for name, value in environment.items()), shlex.join(command)])


def table(ways: dict[str, list[Run]], rows: int, rate: int) -> str:
    """The medians."""
    lines = [
        "| way | wall s | rows MB/s | from the source MB | to the target MB | line MB/s | of its rate | peak MiB |",
        "| --- | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for name, runs in ways.items():
        wall, peak = median(runs, lambda run: run.client.wall), median(runs, lambda run: run.client.peak)
        out = median(runs, lambda run: run.traffic.carried.source_down)
        into, flow = median(runs, lambda run: run.traffic.carried.target_up), median(runs, lambda run: run.traffic.flow)
        lines.append(
            f"| {name} | {wall:.1f} | {rows / wall / 1e6:.1f} | {out / 1e6:.1f} | {into / 1e6:.1f} "
            f"| {flow / 1e6:.1f} | {100 * flow / rate:.0f} % | {peak / 2**20:.0f} |"
        )
    return "\n".join(lines)


def median(runs: list[Run], key: Callable[[Run], float]) -> float:
    """The middle of the runs."""
    return statistics.median(key(run) for run in runs)


def main() -> None:
    """Measures as the arguments say."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--flavor", choices=["mysql", "mariadb"], default="mysql")
    arguments.add_argument("--scale", default="0.1", help="TPC-H scale factor: 1 is about a gigabyte of rows")
    arguments.add_argument("--threads", type=int, default=4, help="of dbgraft")
    arguments.add_argument("--rounds", type=int, default=1, help="how often each way is measured")
    arguments.add_argument("--round-trip", type=int, default=80, help="of each line, in milliseconds")
    arguments.add_argument("--rate", type=int, default=25_000_000, help="of each line, in bytes a second each way")
    arguments.add_argument("--only", action="append", help="a way to measure")
    arguments.add_argument("--directory", type=Path, required=True, help="for the data and the results")
    options = arguments.parse_args()

    programs = Path(os.environ["DBGRAFT_TESTKIT_BIN"]).parent
    near, far = hosts()
    with Lines(programs / "testkit", [near.url, far.url], options.round_trip, options.rate) as lines:
        source, target, bucket = running(options.flavor)
        regions = Regions(source, target, bucket, options.threads, programs, near, far, lines)
        say(f"TPC-H at scale {options.scale} is loaded into {source.flavor} {source.version}")
        data = tpch.generate(options.scale, options.directory)
        tpch.load(source, FROM, data)
        say("once without the clock: the hosts get their executable, and a thorough comparison")
        regions.clean()
        regions.agents_and_s3()
        regions.compare()

        ways = {
            "agents, --via s3": regions.agents_and_s3,
            "agents": regions.agents_alone,
            "tunnels": regions.tunnels,
            "dump by ssh": regions.today,
        }
        if options.only:
            ways = {name: way for name, way in ways.items() if name in options.only}
        results: dict[str, list[Run]] = {name: [] for name in ways}
        for number in range(options.rounds):
            for name, way in list(ways.items())[:: 1 if number % 2 == 0 else -1]:
                run = regions.watched(way)
                results[name].append(run)
                say(f"round {number + 1}: {name}: {run.client.wall:.1f} s, load {os.getloadavg()[0]:.1f}")
        regions.clean()

    rows = sum(path.stat().st_size for path in data.iterdir())
    line = f"{options.round_trip} ms round trip, {options.rate / 1e6:g} MB/s each way"
    about = {"flavor": source.flavor, "version": source.version, "scale": options.scale, "threads": options.threads}
    heading = f"{source.flavor} {source.version}, scale {options.scale}, {options.threads} threads, lines of {line}"
    print(f"\n{heading}, median of {options.rounds}\n\n{table(results, rows, options.rate)}")
    output = options.directory / f"regions-{options.flavor}-{options.scale}.json"
    runs = {name: [asdict(run) for run in runs] for name, runs in results.items()}
    output.write_text(json.dumps({**about, "line": line, "bytes": rows, "runs": runs}, indent=2))
    say(f"\nevery run is in {output}")


if __name__ == "__main__":
    main()
