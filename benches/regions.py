"""Clones a TPC-H database between two regions by each method in turn, and prints the traffic over the links.

regions.sh starts the servers and runs this.
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
from measure import Cost, pipeline
from network import LinkTraffic, SimulatedLinks
from servers import Host, hosts, running


@dataclass(frozen=True)
class Regions(Bench):
    """The servers, each in a region that is reached by SSH over its own link."""

    near: Host
    far: Host
    links: SimulatedLinks

    @property
    def agents(self) -> list[str]:
        """The options that run the work in the regions."""
        return ["--source-agent", self.links.source, "--target-agent", self.links.target]

    def agents_and_s3(self) -> Cost:
        """Clone through S3, which is between the regions and not behind the links."""
        return self.dbgraft("--via", f"s3://{self.bucket.name}/{PREFIX}", *self.agents)

    def agents_alone(self) -> Cost:
        """Clone through the coordinator, with compressed rows."""
        return self.dbgraft(*self.agents)

    def tunnels(self) -> Cost:
        """Clone through the coordinator by tunnels, with uncompressed rows."""
        return self.dbgraft("--source-tunnel", self.links.source, "--target-tunnel", self.links.target)

    def dump_over_ssh(self) -> Cost:
        """Clone by mysqldump over SSH, compressed."""
        options = ["--single-transaction", "--routines", "--triggers", "--events"]
        if self.source.flavor == "mysql":
            options.append("--set-gtid-purged=OFF")
        self.target.sql(f"CREATE DATABASE {TO}")
        export = f"{shell(self.source.environment, self.source.program('mysqldump', *options, FROM))} | gzip"
        load = f"gunzip | {shell(self.target.environment, self.target.program('mysql', TO))}"
        export_command, load_command = self.near.ssh(self.links.source, export), self.far.ssh(self.links.target, load)
        return pipeline(export_command, load_command, environment={})

    def measure(self, method: Callable[[], Cost]) -> "RegionsRun":
        """Remove the last clone, measure one clone, and check it."""
        self.clean()
        cost, traffic = self.links.measure(method)
        self.check_counts()
        return RegionsRun(cost, traffic)


@dataclass(frozen=True)
class RegionsRun:
    """The measurement of one clone."""

    client: Cost
    traffic: LinkTraffic


def shell(environment: dict[str, str], command: list[str]) -> str:
    """Quote a command for a shell."""
    return " ".join([*(f"{name}={shlex.quote(value)}" for name, value in environment.items()), shlex.join(command)])


def table(methods: dict[str, list[RegionsRun]], rows: int, rate: int) -> str:
    """Format the medians as a table."""
    lines = [
        "| method | wall s | rows MB/s | from the source MB | to the target MB | link MB/s | of its rate | peak MiB |",
        "| --- | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for name, runs in methods.items():
        wall, peak = median(runs, lambda run: run.client.wall), median(runs, lambda run: run.client.peak)
        out = median(runs, lambda run: run.traffic.bytes.source_down)
        into, flow = median(runs, lambda run: run.traffic.bytes.target_up), median(runs, lambda run: run.traffic.rate)
        lines.append(
            f"| {name} | {wall:.1f} | {rows / wall / 1e6:.1f} | {out / 1e6:.1f} | {into / 1e6:.1f} "
            f"| {flow / 1e6:.1f} | {100 * flow / rate:.0f} % | {peak / 2**20:.0f} |"
        )
    return "\n".join(lines)


def median(runs: list[RegionsRun], key: Callable[[RegionsRun], float]) -> float:
    """Return the median of the runs."""
    return statistics.median(key(run) for run in runs)


def main() -> None:
    """Run the benchmark."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--flavor", choices=["mysql", "mariadb"], default="mysql")
    arguments.add_argument("--scale", default="0.1", help="TPC-H scale factor: 1 is about a gigabyte of rows")
    arguments.add_argument("--threads", type=int, default=4, help="of dbgraft")
    arguments.add_argument("--rounds", type=int, default=1, help="how often each method is measured")
    arguments.add_argument("--round-trip", type=int, default=80, help="of each link, in milliseconds")
    arguments.add_argument(
        "--rate", type=int, default=25_000_000, help="of each link, in bytes per second and direction"
    )
    arguments.add_argument("--only", action="append", help="a method to measure")
    arguments.add_argument("--directory", type=Path, required=True, help="for the data and the results")
    options = arguments.parse_args()

    programs = Path(os.environ["DBGRAFT_TESTKIT_BIN"]).parent
    near, far = hosts()
    with SimulatedLinks(programs / "testkit", [near.url, far.url], options.round_trip, options.rate) as links:
        source, target, bucket = running(options.flavor)
        regions = Regions(source, target, bucket, options.threads, programs, near, far, links)
        say(f"TPC-H at scale {options.scale} is loaded into {source.flavor} {source.version}")
        data = tpch.generate(options.scale, options.directory)
        tpch.load(source, FROM, data)
        say("an untimed round: upload of the executable, and a comparison of all rows")
        regions.clean()
        regions.agents_and_s3()
        regions.compare()

        methods = {
            "agents, --via s3": regions.agents_and_s3,
            "agents": regions.agents_alone,
            "tunnels": regions.tunnels,
            "dump by ssh": regions.dump_over_ssh,
        }
        if options.only:
            methods = {name: method for name, method in methods.items() if name in options.only}
        results: dict[str, list[RegionsRun]] = {name: [] for name in methods}
        for number in range(options.rounds):
            for name, method in list(methods.items())[:: 1 if number % 2 == 0 else -1]:
                run = regions.measure(method)
                results[name].append(run)
                say(f"round {number + 1}: {name}: {run.client.wall:.1f} s, load {os.getloadavg()[0]:.1f}")
        regions.clean()

    rows = sum(path.stat().st_size for path in data.iterdir())
    link = f"{options.round_trip} ms round trip, {options.rate / 1e6:g} MB/s per direction"
    about = {"flavor": source.flavor, "version": source.version, "scale": options.scale, "threads": options.threads}
    heading = f"{source.flavor} {source.version}, scale {options.scale}, {options.threads} threads, links of {link}"
    print(f"\n{heading}, median of {options.rounds}\n\n{table(results, rows, options.rate)}")
    output = options.directory / f"regions-{options.flavor}-{options.scale}.json"
    runs = {name: [asdict(run) for run in runs] for name, runs in results.items()}
    output.write_text(json.dumps({**about, "link": link, "bytes": rows, "runs": runs}, indent=2))
    say(f"\nevery run is in {output}")


if __name__ == "__main__":
    main()
