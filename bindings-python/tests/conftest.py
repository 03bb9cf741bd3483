"""Databases for each test, on the servers that `testkit run` has started."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pymysql
import pytest

TESTKIT = os.environ["DBGRAFT_TESTKIT_BIN"]

# Seconds after which a test counts as hanging. Many, because they say nothing about how fast anything is.
HANG_GUARD = 300

# One for all connections: the default one reads the certificates of all authorities, each time that it is made.
UNVERIFIED = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
UNVERIFIED.check_hostname = False
UNVERIFIED.verify_mode = ssl.CERT_NONE


def wait_until(done: Callable[[], bool]) -> None:
    """Poll `done` until it holds; fail if it does not within HANG_GUARD."""
    begun = time.monotonic()
    while not done():
        assert time.monotonic() - begun < HANG_GUARD, "it hangs"
        time.sleep(0.05)


@dataclass
class Bench:
    """A source and a target database that do not exist yet."""

    flavor: str
    source_server: str
    target_server: str
    name: str

    @property
    def source(self) -> str:
        return f"{self.source_server}/{self.name}"

    @property
    def target(self) -> str:
        return f"{self.target_server}/{self.name}_copy"

    @property
    def via(self) -> str:
        return f"s3://{os.environ['DBGRAFT_TEST_S3_BUCKET']}/{self.name}"

    def sample(self) -> Bench:
        """Fill the source with a small shop."""
        subprocess.run([TESTKIT, "sample", "--small", self.source_server, self.name], check=True, capture_output=True)
        return self

    def small(self) -> Bench:
        """Fill the source with ten thousand orders of a hundred customers, a view and a trigger: about 2 MB."""
        digits = (
            "(SELECT 0 d UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 "
            "UNION SELECT 7 UNION SELECT 8 UNION SELECT 9)"
        )
        for statement in (
            "CREATE DATABASE {db} CHARACTER SET utf8mb4",
            "CREATE TABLE {db}.customer (id INT PRIMARY KEY, name VARCHAR(40))",
            "CREATE TABLE {db}.orders (id INT PRIMARY KEY, customer INT, note VARCHAR(300), "
            "FOREIGN KEY (customer) REFERENCES customer (id))",
            f"INSERT INTO {{db}}.customer SELECT a.d * 10 + b.d, 'someone' FROM {digits} a, {digits} b",
            "INSERT INTO {db}.orders SELECT 1 + a.d * 1000 + b.d * 100 + c.d * 10 + d.d, a.d * 10 + b.d, "
            f"REPEAT('x', 200) FROM {digits} a, {digits} b, {digits} c, {digits} d",
            "ANALYZE TABLE {db}.orders, {db}.customer",
            "CREATE VIEW {db}.v_orders AS SELECT id FROM {db}.orders",
            "CREATE TRIGGER {db}.noted BEFORE INSERT ON {db}.orders FOR EACH ROW SET NEW.note = TRIM(NEW.note)",
        ):
            self.at_source(statement)
        return self

    def assert_equal(self) -> None:
        """Compare both ends by the test kit, which shares no code with the library."""
        done = subprocess.run([TESTKIT, "compare", self.source, self.target], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def _sql(self, server: str, text: str) -> list[tuple[Any, ...]]:
        url = urlsplit(server)
        tls = {"ssl": UNVERIFIED} if self.flavor == "mysql" else {}
        with (
            pymysql.connect(
                host=url.hostname,
                port=url.port or 3306,
                user=url.username,
                password=url.password or "",
                autocommit=True,
                **tls,
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(text)
            return list(cursor.fetchall())

    def at_source(self, text: str) -> list[tuple[Any, ...]]:
        return self._sql(self.source_server, text.format(db=self.name))

    def at_target(self, text: str) -> list[tuple[Any, ...]]:
        return self._sql(self.target_server, text.format(db=f"{self.name}_copy"))

    def target_exists(self) -> bool:
        return bool(self.at_target("SHOW DATABASES LIKE '{db}'"))

    def running_at_target(self) -> list[tuple[Any, ...]]:
        """List the statements that still run there in this database."""
        return self.at_target("SELECT info FROM information_schema.processlist WHERE db = '{db}' AND info IS NOT NULL")


def _bench(flavor: str) -> Iterator[Bench]:
    servers = [os.environ[f"DBGRAFT_TEST_{flavor.upper()}_{side}"] for side in ("SOURCE", "TARGET")]
    bench = Bench(flavor, servers[0], servers[1], f"py_{uuid.uuid4().hex[:10]}")
    yield bench
    bench.at_source("DROP DATABASE IF EXISTS {db}")
    bench.at_target("DROP DATABASE IF EXISTS {db}")


@pytest.fixture(params=["mysql", "mariadb"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    yield from _bench(request.param)


@pytest.fixture
def mysql() -> Iterator[Bench]:
    yield from _bench("mysql")


class Script:
    """A Python program in a process of its own, with default signals: a shell's background job ignores SIGINT."""

    def __init__(self, text: str, *words: str) -> None:
        self.process = subprocess.Popen(
            ["env", "--default-signal", sys.executable, "-c", textwrap.dedent(text), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def read_until(self, word: str) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.strip() == word:
                return
        raise AssertionError(f"it never printed {word}: {self.process.communicate(timeout=HANG_GUARD)}")

    def end(self) -> tuple[int, str, str]:
        """Wait for the end; return the exit code, standard output and standard error."""
        out, err = self.process.communicate(timeout=HANG_GUARD)
        return self.process.returncode, out, err


def plain(value: Any) -> Any:
    return json.loads(json.dumps(value))
