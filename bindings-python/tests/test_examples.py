"""The examples run as written."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import HANG_GUARD, Bench, wait_until
from playwright.sync_api import Page, expect, sync_playwright

expect.set_options(timeout=1000 * HANG_GUARD)

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "python"


def run(name: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, EXAMPLES / name, *words], capture_output=True, text=True, timeout=HANG_GUARD)


def test_a_nightly_refresh_of_a_part(bench: Bench) -> None:
    bench.small()
    words = [bench.source, bench.target, bench.via, "--table", "orders", "--table", "customer"]
    for _ in range(2):
        done = run("nightly.py", *words, "--where", "orders=id <= 100")
        assert done.returncode == 0 and "2 tables, 200 rows" in done.stdout, done
    assert bench.at_target("SELECT COUNT(*) FROM {db}.orders") == [(100,)]
    wrong = run("nightly.py", bench.source, bench.target, bench.via, "--table", "nothing")
    assert wrong.returncode == 1 and wrong.stderr.startswith("usage: "), wrong


def test_many_databases_a_few_at_a_time(mysql: Bench) -> None:
    names = [f"{mysql.name}_{number}" for number in range(3)]
    for name in names:
        mysql.at_source(f"CREATE DATABASE {name}")
        mysql.at_source(f"CREATE TABLE {name}.t (id INT PRIMARY KEY)")
    done = run("many.py", mysql.source_server, mysql.target_server, *names, "nothing_there", "--at-once", "2")
    for name in names:
        mysql.at_source(f"DROP DATABASE {name}")
        mysql.at_target(f"DROP DATABASE {name}_copy")
    assert done.returncode == 1 and "nothing_there" in done.stderr, done
    assert all(f"{name}: 0 rows" in done.stdout for name in names), done


def test_a_move_of_a_live_database(bench: Bench, tmp_path: Path) -> None:
    bench.at_source("CREATE DATABASE {db}")
    bench.at_source("CREATE TABLE {db}.t (id INT PRIMARY KEY)")
    bench.at_source("INSERT INTO {db}.t VALUES (1)")
    # A writer works until the example says that it is to stop.
    stop = threading.Event()

    def write() -> None:
        number = 1
        while not stop.is_set():
            number += 1
            bench.at_source(f"INSERT INTO {{db}}.t VALUES ({number})")

    writer = threading.Thread(target=write)
    writer.start()
    asked, stopped = tmp_path / "asked", tmp_path / "stopped"
    waits = f"touch {asked}; until [ -e {stopped} ]; do sleep 0.05; done"
    command = [sys.executable, EXAMPLES / "follow.py", bench.source, bench.target, "--stop-writers", waits]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: asked.exists() or process.poll() is not None)
    finally:
        stop.set()
        writer.join()
        stopped.touch()
    said, _ = process.communicate(timeout=HANG_GUARD)
    assert process.returncode == 0 and "has every change up to" in said, said
    assert bench.at_target("SELECT COUNT(*) > 1 FROM {db}.t") == [(1,)]
    bench.assert_equal()


def serves(url: str) -> bool:
    try:
        urllib.request.urlopen(url).close()
    except OSError:
        return False
    return True


@contextmanager
def service(databases: dict[str, tuple[str, str]], options: dict[str, object]) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "DATABASES": json.dumps(databases), "OPTIONS": json.dumps(options)}
    command = [sys.executable, "-m", "uvicorn", "web:app", "--port", str(port), "--log-level", "warning"]
    process = subprocess.Popen(command, cwd=EXAMPLES, env=environment)
    try:
        wait_until(lambda: serves(f"http://127.0.0.1:{port}/databases"))
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(HANG_GUARD) in (0, -signal.SIGTERM)


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield browser.new_page()
        browser.close()


def test_the_page_shows_progress_that_moves_and_its_button_cancels(mysql: Bench, page: Page) -> None:
    mysql.small()
    slow = {"max_rate": "300K", "threads": 8, "memory": "8MiB", "if_exists": "drop"}
    with service({"shop": (mysql.source, mysql.target)}, slow) as url:
        page.goto(url)
        page.get_by_role("button", name="Start").click()
        seen: set[float] = set()

        def moves() -> bool:
            seen.add(page.locator("#bar").evaluate("bar => bar.value / bar.max"))
            return len(seen) >= 3

        wait_until(moves)
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_role("status")).to_have_text("cancelled")
        assert not mysql.target_exists()
    with service({"shop": (mysql.source, mysql.target)}, {"if_exists": "drop"}) as url:
        page.goto(url)
        page.get_by_role("button", name="Start").click()
        expect(page.get_by_role("status")).to_contain_text("done: 10100 rows")
        assert page.locator("#bar").evaluate("bar => bar.value / bar.max") == 1
    mysql.assert_equal()


def test_a_service_that_ends_leaves_nothing(mysql: Bench) -> None:
    mysql.small()
    with service({"shop": (mysql.source, mysql.target)}, {"max_rate": "300K", "threads": 8, "memory": "8MiB"}) as url:
        urllib.request.urlopen(urllib.request.Request(f"{url}clones/shop", method="POST")).close()
        wait_until(mysql.target_exists)
    assert not mysql.target_exists()
