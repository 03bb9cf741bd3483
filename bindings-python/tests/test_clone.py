"""Clones, plans and comparisons from blocking code."""

from __future__ import annotations

import json
import logging
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import dbgraft
import pytest
from conftest import Bench, plain


def test_a_clone_is_the_same_database_and_its_report_counts_it(bench: Bench) -> None:
    bench.sample()
    report = dbgraft.clone(bench.source, bench.target, threads=2, verify="checksum")
    bench.assert_equal()
    assert report.rows == sum(done.rows for done in report.objects) > 10_000
    assert report.fidelity == () and report.verified is not None and report.verified.differences == ()
    assert report.server.flavor == bench.flavor and report.database.name == bench.name
    with pytest.raises(AttributeError):
        report.rows = 3  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(report)) == report
    assert dbgraft.Report.from_dict(report.to_dict()) == report
    assert "rows" in repr(report) and "<table>" in report._repr_html_()


def test_a_clone_that_is_killed_is_known_to_its_target_and_is_undone(bench: Bench) -> None:
    bench.sample()
    command = [sys.executable, "-m", "dbgraft", "clone", bench.source, bench.target]
    with subprocess.Popen([*command, "--max-rate=50K", "--progress=none"]) as running:
        while dbgraft.status(bench.target).rows == 0:
            assert running.poll() is None
        running.kill()
    while (left := dbgraft.status(bench.target)).state == "running":
        pass
    assert left.state == "dead" and "--resume" in left.message and left.tables
    with pytest.raises(dbgraft.PreflightError, match="--resume"):
        dbgraft.clone(bench.source, bench.target)
    assert dbgraft.abandon(bench.target).message == "the clone was undone"
    assert dbgraft.status(bench.target).state == "none"
    dbgraft.clone(bench.source, bench.target)
    report = dbgraft.clone(bench.source, bench.target, resume=True)
    assert report.resumed is not None and report.resumed.case == "finished"
    with pytest.raises(dbgraft.ConnectionFailedError):
        dbgraft.status("mysql://nobody@127.0.0.1:1/d")


def test_a_clone_through_s3_reports_its_events(mysql: Bench, caplog: pytest.LogCaptureFixture) -> None:
    mysql.small()
    events: list[dbgraft.Event] = []
    with caplog.at_level(logging.INFO, "dbgraft"):
        report = dbgraft.clone(mysql.source, mysql.target, via=mysql.via, memory="64MiB", on_event=events.append)
    mysql.assert_equal()
    phases = [(e.leg, e.phase) for e in events if isinstance(e, dbgraft.PhaseEvent)]
    assert ("export", "preflight") in phases and ("import", "done") in phases
    last = {e.leg: e for e in events if isinstance(e, dbgraft.ProgressEvent)}
    assert last["import"].rows == report.rows
    finished = {e.object for e in events if isinstance(e, dbgraft.FinishedEvent) and e.leg == "import"}
    assert dbgraft.ObjectRef("table", "orders") in finished
    assert all(e.to_dict()["event"] == e.event for e in events)
    assert any("import: rows" in record.message for record in caplog.records)


def test_the_report_is_the_one_of_the_command(mysql: Bench, tmp_path: Path) -> None:
    mysql.small()
    own = dbgraft.clone(mysql.source, mysql.target).to_dict()
    file = tmp_path / "report.json"
    command = [sys.executable, "-m", "dbgraft", "clone", mysql.source, mysql.target, "--if-exists=drop"]
    subprocess.run([*command, "--progress=none", f"--report={file}"], check=True, capture_output=True)
    theirs = json.loads(file.read_text())

    def timeless(report: dict) -> dict:
        report = plain(report)
        report["seconds"] = 0
        report["position"] = None
        for done in report["objects"]:
            done["seconds"] = 0
        return report

    assert timeless(own) == timeless(theirs)


def test_a_part_is_chosen_by_patterns_a_callable_and_conditions(mysql: Bench) -> None:
    mysql.small()
    report = dbgraft.clone(mysql.source, mysql.target, include="order*", where={"orders": "id <= 10"})
    assert {done.object.name for done in report.objects if done.object.kind == "table"} >= {"orders"}
    assert mysql.at_target("SELECT COUNT(*) FROM {db}.orders") == [(10,)]

    asked: list[dbgraft.ObjectRef] = []

    def only_customers(ref: dbgraft.ObjectRef) -> bool:
        asked.append(ref)
        return ref.kind == "table" and ref.name in ("customer", "orders")

    report = dbgraft.clone(
        mysql.source, mysql.target, selector=only_customers, where={"orders": "id <= 7"}, recreate_database=True
    )
    assert {done.object.name for done in report.objects} == {"customer", "orders"}
    assert mysql.at_target("SELECT COUNT(*) FROM {db}.orders") == [(7,)]
    assert {ref.kind for ref in asked} == {"table", "view", "trigger"}
    with pytest.raises(dbgraft.UsageError, match="nowhere"):
        dbgraft.clone(mysql.source, mysql.target, selector=only_customers, where={"nowhere": "1"})
    with pytest.raises(dbgraft.UsageError, match="include"):
        dbgraft.clone(mysql.source, mysql.target, selector=only_customers, include=["a*"])


def test_an_exception_in_the_selector_ends_the_clone_before_it_writes(mysql: Bench) -> None:
    mysql.small()

    def broken(ref: dbgraft.ObjectRef) -> bool:
        raise RuntimeError("no idea")

    with pytest.raises(dbgraft.CallbackError, match="selector.*no idea") as caught:
        dbgraft.clone(mysql.source, mysql.target, selector=broken)
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert not mysql.target_exists()


def test_a_plan_writes_nothing_and_names_problems(mysql: Bench) -> None:
    mysql.small()
    overview = dbgraft.plan(mysql.source, mysql.target)
    assert overview.problems == () and not mysql.target_exists()
    assert "orders" in {table.name for table in overview.plan.tables}
    assert "<table>" in overview._repr_html_()
    dbgraft.clone(mysql.source, mysql.target)
    assert any("orders" in problem for problem in dbgraft.plan(mysql.source, mysql.target).problems)


def test_a_comparison_finds_what_was_changed(mysql: Bench) -> None:
    mysql.small()
    dbgraft.clone(mysql.source, mysql.target)
    assert dbgraft.verify(mysql.source, mysql.target).equal
    mysql.at_target("DELETE FROM {db}.orders WHERE id = 5")
    found = dbgraft.verify(mysql.source, mysql.target, list_rows=True, include=["orders"])
    assert not found.equal and "orders" in str(found.differences[0])
    assert found.differences[0].rows[0].place == "source"
    assert "orders" in found._repr_html_()


def test_two_jobs_at_once(mysql: Bench) -> None:
    mysql.small()
    reports: list[dbgraft.Report] = []
    names = ["one", "two", "three"]

    def work(name: str) -> None:
        reports.append(dbgraft.clone(mysql.source, f"{mysql.target}_{name}", include=["orders", "customer"]))

    threads = [threading.Thread(target=work, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in names:
        mysql.at_target("DROP DATABASE {db}_" + name)
    assert len(reports) == 3 and len({report.rows for report in reports}) == 1


def test_a_progress_bar_is_drawn(mysql: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    mysql.small()
    dbgraft.clone(mysql.source, mysql.target, progress=True)
    assert "clone" in capsys.readouterr().err


def test_slow_listeners_lose_nothing_but_old_progress(mysql: Bench) -> None:
    mysql.at_source("CREATE DATABASE {db}")
    for number in range(150):
        mysql.at_source("CREATE TABLE {db}.t" + str(number) + " (id INT PRIMARY KEY)")
    finished = set()
    job = dbgraft.CloneJob(mysql.source, mysql.target)
    for event in job:
        if isinstance(event, dbgraft.FinishedEvent):
            finished.add(event.object.name)
            threading.Event().wait(0.005)
    assert len(finished) == 150 and job.dropped_events == 0
