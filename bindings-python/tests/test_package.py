"""The contents of the package: options, types, the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import dbgraft
import pytest
from conftest import Bench
from dbgraft import _native


def test_keywords_are_the_options_of_the_library_and_of_the_command() -> None:
    names = set(_native.option_names())
    assert set(dbgraft.Options.__annotations__) == names
    help_ = subprocess.run([dbgraft.executable(), "clone", "--help"], capture_output=True, text=True, check=True).stdout
    assert [name for name in names if f"--{name.replace('_', '-')}" not in help_] == []
    assert set(json.loads(_native.default_options())) == names


def test_the_command_is_in_the_package() -> None:
    script = Path(sys.executable).parent / "dbgraft"
    for command in ([sys.executable, "-m", "dbgraft"], [str(script)]):
        version = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True).stdout
        assert version.split() == ["dbgraft", dbgraft.__version__]
        wrong = subprocess.run([*command, "clone", "--fast"], capture_output=True, text=True)
        assert wrong.returncode == 2 and "--fast" in wrong.stderr


def test_the_package_is_not_the_source_tree() -> None:
    assert "site-packages" in dbgraft.__file__ and os.access(dbgraft.executable(), os.X_OK)


def test_an_agent_gets_the_executable_of_the_package(mysql: Bench) -> None:
    if "DBGRAFT_TEST_SSH_SOURCE" not in os.environ:
        pytest.skip("there is no SSH server")
    mysql.small()
    report = dbgraft.clone(
        mysql.source,
        mysql.target,
        via=mysql.via,
        source_agent=os.environ["DBGRAFT_TEST_SSH_SOURCE"],
        target_agent=os.environ["DBGRAFT_TEST_SSH_TARGET"],
    )
    assert report.rows > 0
    mysql.assert_equal()


def test_type_checkers_know_the_options(tmp_path: Path) -> None:
    good = """
        import asyncio
        import dbgraft

        def choose(ref: dbgraft.ObjectRef) -> bool:
            return ref.kind == "table"

        def heard(event: dbgraft.Event) -> None:
            if isinstance(event, dbgraft.ProgressEvent):
                print(event.rows + 1)

        class Own(dbgraft.Sink):
            def write(self, table: dbgraft.TablePlan, batch: dbgraft.Batch) -> None:
                print(table.name, batch.rows)

        report = dbgraft.clone("a", Own(), threads=3, memory="1GiB", selector=choose, on_event=heard, if_exists="drop")
        rows: int = report.rows
        equal: bool = dbgraft.verify("a", "b").equal

        async def main() -> None:
            async with dbgraft.CloneJob("a", "b", via="s3://c/d") as job:
                async for event in job:
                    print(event.event)
                done: dbgraft.Report = await job
                print(done)

        asyncio.run(main())
        """
    bad = """
        import dbgraft

        dbgraft.clone("a", "b", thread=3)
        dbgraft.clone("a", "b", if_exists="maybe")
        dbgraft.clone("a")
        dbgraft.plan("a", "b").plan.nothing
        """
    (tmp_path / "good.py").write_text(textwrap.dedent(good))
    (tmp_path / "bad.py").write_text(textwrap.dedent(bad))

    def mypy(name: str) -> str:
        command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), name]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path).stdout

    assert "Success" in mypy("good.py"), mypy("good.py")
    assert "Found 4 errors" in mypy("bad.py"), mypy("bad.py")
