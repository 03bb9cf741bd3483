"""Applies one log of changes by dbgraft and by the server's own replication, and prints the transactions a second.

follow.sh starts the servers and runs this.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from network import SimulatedLinks
from servers import Server, running

FROM, TEMPLATE = "bench", "bench_at_snapshot"
TABLES, ROWS, WRITERS = 4, 25_000, 4


@dataclass(frozen=True)
class Position:
    """A place in the source's log."""

    file: str
    offset: int


@dataclass(frozen=True)
class Bench:
    """The servers and the command."""

    source: Server
    target: Server
    #: The target as dbgraft reaches it.
    linked: Server
    dbgraft: str

    def start(self, command: str, copy: str, *options: str) -> "subprocess.Popen[str]":
        """Start `clone` or `follow` into a database of the target."""
        passwords = {"DBGRAFT_SOURCE_PASSWORD": self.source.password, "DBGRAFT_TARGET_PASSWORD": self.target.password}
        urls = [url_of(self.source, FROM), url_of(self.linked, copy)]
        words = [self.dbgraft, command, *urls, "--progress", "json", *options]
        return subprocess.Popen(words, env=os.environ | passwords, stdout=subprocess.PIPE, text=True)

    def cut_over(self, copy: str) -> float:
        """Cut over, and return the seconds that it took."""
        passwords = {"DBGRAFT_TARGET_PASSWORD": self.target.password}
        began = time.monotonic()
        words = [self.dbgraft, "cutover", url_of(self.linked, copy), "--timeout", "600s"]
        subprocess.run(words, env=os.environ | passwords, check=True, stdout=subprocess.DEVNULL)
        return time.monotonic() - began

    def position(self) -> Position:
        """Return the end of the source's log."""
        statement = "SHOW BINARY LOG STATUS" if self.source.flavor == "mysql" else "SHOW MASTER STATUS"
        file, offset, *_ = self.source.sql(statement).split("\t")
        return Position(file, int(offset))


def url_of(server: Server, database: str) -> str:
    """Return the URL of a database, without a password."""
    return f"mysql://{server.user}@{server.host}:{server.port}/{database}"


def following(process: "subprocess.Popen[str]") -> Iterator[dict[str, float]]:
    """Yield the events of following."""
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "following":
            yield event
    raise RuntimeError(f"dbgraft ended with {process.wait()}")


@contextmanager
def stopped(process: "subprocess.Popen[str]") -> Iterator[Iterator[dict[str, float]]]:
    """Give the events of following, and end the process."""
    try:
        yield following(process)
    finally:
        process.terminate()
        process.communicate()


def create(server: Server) -> None:
    """Create the tables, as sysbench makes them."""
    numbers = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 1000)"
    statements = [f"CREATE DATABASE {FROM}", f"USE {FROM}"]
    for number in range(TABLES):
        statements.append(
            f"CREATE TABLE {FROM}.sbtest{number} (id INT AUTO_INCREMENT PRIMARY KEY, k INT NOT NULL, c CHAR(120) NOT NULL, "
            "pad CHAR(60) NOT NULL, KEY k (k))"
        )
        statements += [
            f"INSERT INTO {FROM}.sbtest{number} (k, c, pad) {numbers} "
            f"SELECT i, LEFT(REPEAT(SHA2(i + {part}, 256), 2), 120), LEFT(SHA2(i, 256), 60) FROM n"
            for part in range(ROWS // 1000)
        ]
    server.sql(";".join(statements))


def write(server: Server, transactions: int, seed: int) -> None:
    """Run the transactions of sysbench's oltp_write_only."""
    numbers = random.Random(seed)
    lines = [f"USE {FROM};"]
    for _ in range(transactions):
        table, (a, b, c) = numbers.randrange(TABLES), (1 + numbers.randrange(ROWS) for _ in range(3))
        text = f"{numbers.getrandbits(400):0120d}"[:120]
        lines.append(
            f"BEGIN; UPDATE sbtest{table} SET k = k + 1 WHERE id = {a}; UPDATE sbtest{table} SET c = '{text}' WHERE id = {b}; "
            f"DELETE FROM sbtest{table} WHERE id = {c}; "
            f"INSERT INTO sbtest{table} (id, k, c, pad) VALUES ({c}, {b}, '{text}', 'p'); COMMIT;"
        )
    # Two writers may meet in a deadlock: the rest of the transaction is then run by itself, and the count is the log's.
    command = server.program("mysql", "--force")
    environment = os.environ | server.environment
    subprocess.run(command, env=environment, input="\n".join(lines), text=True, stderr=subprocess.DEVNULL, check=False)


def write_all(server: Server, transactions: int) -> float:
    """Run the transactions by several writers, and return the seconds."""
    began = time.monotonic()
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(lambda seed: write(server, transactions // WRITERS, seed), range(WRITERS)))
    return time.monotonic() - began


def replicate(bench: Bench, workers: int, start: Position, end: Position) -> float:
    """Apply the log by the server's own replication, and return the seconds."""
    target, source = bench.target, bench.source
    tables = range(TABLES)
    target.sql(
        f"DROP DATABASE IF EXISTS {FROM}; CREATE DATABASE {FROM};"
        + ";".join(f"CREATE TABLE {FROM}.sbtest{n} LIKE {TEMPLATE}.sbtest{n}" for n in tables)
        + ";"
        + ";".join(f"INSERT INTO {FROM}.sbtest{n} SELECT * FROM {TEMPLATE}.sbtest{n}" for n in tables)
    )
    if target.flavor == "mysql":
        target.sql(
            f"SET GLOBAL server_id = 2; SET GLOBAL replica_parallel_workers = {workers}; "
            f"CHANGE REPLICATION SOURCE TO SOURCE_HOST = '{source.host}', SOURCE_PORT = {source.port}, "
            f"SOURCE_USER = '{source.user}', SOURCE_PASSWORD = '{source.password}', SOURCE_SSL = 1, "
            f"SOURCE_LOG_FILE = '{start.file}', SOURCE_LOG_POS = {start.offset}"
        )
        begin, wait, clear = "START REPLICA", "SOURCE_POS_WAIT", "STOP REPLICA; RESET REPLICA ALL"
    else:
        threads = workers if workers > 1 else 0
        target.sql(
            f"SET GLOBAL server_id = 2; SET GLOBAL slave_parallel_threads = {threads}; "
            "SET GLOBAL slave_parallel_mode = 'optimistic'; "
            f"CHANGE MASTER TO MASTER_HOST = '{source.host}', MASTER_PORT = {source.port}, "
            f"MASTER_USER = '{source.user}', MASTER_PASSWORD = '{source.password}', "
            f"MASTER_LOG_FILE = '{start.file}', MASTER_LOG_POS = {start.offset}"
        )
        begin, wait, clear = "START SLAVE", "MASTER_POS_WAIT", "STOP SLAVE; RESET SLAVE ALL"
    began = time.monotonic()
    waited = target.sql(f"{begin}; SELECT {wait}('{end.file}', {end.offset}, 600)").strip()
    seconds = time.monotonic() - began
    target.sql(clear)
    if waited in ("NULL", "-1"):
        raise RuntimeError("the replica did not reach the end of the log")
    return seconds


@dataclass(frozen=True)
class Followed:
    """How long the parts of following took, in seconds."""

    start: float
    apply: float
    cut_over: float


def follow(bench: Bench, threads: int, copy: str, end: Position) -> Followed:
    """Apply the log by dbgraft, and cut over."""
    began = time.monotonic()
    process = bench.start("follow", copy, "--threads", str(threads))
    started = 0.0
    for event in following(process):
        started = started or time.monotonic()
        file, offset = str(event["position"]).rsplit(":", 1)
        if (file, int(offset)) >= (end.file, end.offset):
            break
    applied = time.monotonic()
    cut_over = bench.cut_over(copy)
    process.communicate()
    return Followed(started - began, applied - started, cut_over)


def lag_under_load(bench: Bench, transactions: int, threads: int) -> tuple[float, float, float]:
    """Follow a source while writers work, and return its transactions a second, and the median and the greatest lag."""
    copy = "bench_load"
    bench.target.sql(f"DROP DATABASE IF EXISTS {copy}")
    with stopped(bench.start("clone", copy, "--follow", "--threads", str(threads))) as events:
        next(events)
        with ThreadPoolExecutor(1) as pool:
            written = pool.submit(write_all, bench.source, transactions)
            lags = []
            while not written.done():
                lags.append(next(events)["lag_seconds"])
        rate = transactions / written.result()
    subprocess.run(
        [bench.dbgraft, "abandon", url_of(bench.target, copy)],
        env=os.environ | {"DBGRAFT_TARGET_PASSWORD": bench.target.password},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return rate, statistics.median(lags), max(lags)


def say(text: str) -> None:
    """Print a progress message."""
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Run the benchmark."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--flavor", choices=["mysql", "mariadb"], default="mysql")
    arguments.add_argument("--transactions", type=int, default=20_000)
    arguments.add_argument("--appliers", type=int, nargs="+", default=[1, 2, 4, 8])
    arguments.add_argument("--round-trip", type=int, default=0, help="of dbgraft's line to the target, in milliseconds")
    arguments.add_argument("--directory", type=Path, required=True, help="for the results")
    options = arguments.parse_args()

    source, target, _ = running(options.flavor)
    testkit = Path(os.environ["DBGRAFT_TESTKIT_BIN"])
    urls = [f"mysql://{server.host}:{server.port}" for server in (source, target)]
    with SimulatedLinks(testkit, urls, options.round_trip, 0) as links:
        link = urlsplit(links.target)
        assert link.hostname and link.port
        linked = replace(target, host=link.hostname, port=link.port) if options.round_trip else target
        compare(Bench(source, target, linked, str(testkit.parent / "dbgraft")), testkit, options)


def compare(bench: Bench, testkit: Path, options: argparse.Namespace) -> None:
    """Run the benchmark between these servers."""
    source, target = bench.source, bench.target
    create(source)
    for threads in options.appliers:
        with stopped(bench.start("clone", f"bench_{threads}", "--follow")) as events:
            next(events)
    target.sql(
        f"CREATE DATABASE {TEMPLATE};"
        + ";".join(
            f"CREATE TABLE {TEMPLATE}.sbtest{n} LIKE bench_{options.appliers[0]}.sbtest{n};"
            f"INSERT INTO {TEMPLATE}.sbtest{n} SELECT * FROM bench_{options.appliers[0]}.sbtest{n}"
            for n in range(TABLES)
        )
    )
    start = bench.position()
    seconds = write_all(source, options.transactions)
    end = bench.position()
    say(f"{options.transactions} transactions are written in {seconds:.1f} s")

    rows = []
    for threads in options.appliers:
        replicated = replicate(bench, threads, start, end)
        followed = follow(bench, threads, f"bench_{threads}", end)
        both = [f"{source.url}/{FROM}", f"{target.url}/bench_{threads}"]
        subprocess.run([str(testkit), "compare", *both], check=True, stdout=subprocess.DEVNULL)
        rates = [options.transactions / seconds for seconds in (replicated, followed.apply)]
        times = {"start": followed.start, "cut_over": followed.cut_over}
        rows.append({"appliers": threads, "replica": rates[0], "dbgraft": rates[1]} | times)
        say(f"{threads}: the replica {rates[0]:.0f}/s, dbgraft {rates[1]:.0f}/s; {times}")
    loaded, median, greatest = lag_under_load(bench, options.transactions, max(options.appliers))

    line = f", {options.round_trip} ms to the target" if options.round_trip else ""
    print(f"\n{source.flavor} {source.version}, {options.transactions} transactions of {WRITERS} writers{line}\n")
    print("| appliers | replica/s | dbgraft/s | ratio | start s | cut-over s |\n| --: | --: | --: | --: | --: | --: |")
    for row in rows:
        ratio = row["dbgraft"] / row["replica"]
        print(
            f"| {row['appliers']} | {row['replica']:.0f} | {row['dbgraft']:.0f} | {ratio:.2f}× | {row['start']:.1f} "
            f"| {row['cut_over']:.1f} |"
        )
    print(f"\nUnder {loaded:.0f} transactions a second: lag {median:.1f} s (median), {greatest:.1f} s (greatest)")
    output = options.directory / f"follow-{options.flavor}.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    load = {"rate": loaded, "median": median, "greatest": greatest}
    output.write_text(json.dumps({"version": source.version, "rows": rows, "load": load}, indent=2))


if __name__ == "__main__":
    main()
