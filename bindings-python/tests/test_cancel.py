"""Every way to cancel a clone: it ends early, and nothing is left."""

from __future__ import annotations

import asyncio
import signal
import socket

import dbgraft
import pytest
from conftest import Bench, Script, wait_until

# The rate limit holds between batches, so they are small.
SLOW = {"max_rate": "300K", "threads": 8, "memory": "8MiB"}


def in_rows(event: dbgraft.Event) -> bool:
    return isinstance(event, dbgraft.ProgressEvent) and event.phase == "rows" and event.rows > 0


def assert_clean(bench: Bench) -> None:
    assert not bench.target_exists() and bench.running_at_target() == []


def test_ctrl_c_ends_a_script_and_leaves_nothing(bench: Bench) -> None:
    bench.small()
    script = Script(
        """
        import sys, dbgraft
        def on_event(event):
            if event.event == "progress" and event.rows:
                print("rows", flush=True)
        slow = dict(max_rate="300K", threads=8, memory="8MiB")
        dbgraft.clone(*sys.argv[1:], on_event=on_event, **slow)
        """,
        bench.source,
        bench.target,
    )
    script.read_until("rows")
    script.process.send_signal(signal.SIGINT)
    code, _, err = script.end()
    assert code == -signal.SIGINT and "KeyboardInterrupt" in err
    assert_clean(bench)


def test_ctrl_c_cancels_a_clone_of_asyncio(mysql: Bench) -> None:
    mysql.small()
    script = Script(
        """
        import asyncio, sys, dbgraft
        def on_event(event):
            if event.event == "progress" and event.rows:
                print("rows", flush=True)
        slow = dict(max_rate="300K", threads=8, memory="8MiB")
        asyncio.run(dbgraft.clone_async(*sys.argv[1:], on_event=on_event, **slow))
        """,
        mysql.source,
        mysql.target,
    )
    script.read_until("rows")
    script.process.send_signal(signal.SIGINT)
    _, _, err = script.end()
    assert "KeyboardInterrupt" in err
    assert_clean(mysql)


def test_an_exception_in_a_listener_cancels_and_is_raised(mysql: Bench) -> None:
    mysql.small()

    def listener(event: dbgraft.Event) -> None:
        if in_rows(event):
            raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        dbgraft.clone(mysql.source, mysql.target, on_event=listener, **SLOW)
    assert_clean(mysql)


def test_cancel_ends_a_started_job_with_a_class_of_its_own(mysql: Bench) -> None:
    mysql.small()
    job = dbgraft.CloneJob(mysql.source, mysql.target, **SLOW).start()
    with pytest.raises(TimeoutError):
        job.wait(timeout=1)
    assert not job.done
    job.cancel()
    with pytest.raises(dbgraft.CancelledError):
        job.wait()
    assert job.done
    assert_clean(mysql)


def test_a_started_job_calls_its_listener_while_it_runs(mysql: Bench) -> None:
    mysql.small()
    events: list[dbgraft.Event] = []
    job = dbgraft.CloneJob(mysql.source, mysql.target, on_event=events.append).start()
    wait_until(lambda: job.done)
    assert job.wait().rows > 0
    assert isinstance(events[-1], dbgraft.PhaseEvent) and events[-1].phase == "done"
    with pytest.raises(dbgraft.UsageError, match="already started"):
        job.start()


def test_leaving_with_early_cancels(mysql: Bench) -> None:
    mysql.small()
    with dbgraft.CloneJob(mysql.source, mysql.target, **SLOW) as job:
        for event in job:
            if in_rows(event):
                break
    assert job.done
    assert_clean(mysql)


def test_an_unreported_error_is_raised_at_the_end_of_with(mysql: Bench) -> None:
    with (
        pytest.raises(dbgraft.ConnectionFailedError),
        dbgraft.CloneJob("mysql://app@127.0.0.1:1/a", mysql.target) as job,
    ):
        wait_until(lambda: job.done)


def test_cancelling_the_task_cancels_and_cleans_up(mysql: Bench) -> None:
    mysql.small()

    async def main() -> None:
        begun = asyncio.Event()
        clone = dbgraft.clone_async(
            mysql.source, mysql.target, on_event=lambda event: begun.set() if in_rows(event) else None, **SLOW
        )
        task = asyncio.create_task(clone)
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert_clean(mysql)


def test_a_timeout_cancels_and_cleans_up(mysql: Bench) -> None:
    mysql.small()

    async def main() -> None:
        await asyncio.wait_for(dbgraft.clone_async(mysql.source, mysql.target, **SLOW), 1)

    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(main())
    assert_clean(mysql)


def test_leaving_async_with_early_cancels(mysql: Bench) -> None:
    mysql.small()

    async def main() -> None:
        async with dbgraft.CloneJob(mysql.source, mysql.target, **SLOW) as job:
            async for event in job:
                if in_rows(event):
                    break
        assert job.done

    asyncio.run(main())
    assert_clean(mysql)


def test_a_program_that_ends_right_after_its_jobs_does_not_crash() -> None:
    scripts = [
        Script(
            """
            import asyncio, dbgraft
            async def main():
                nowhere = "mysql://app@127.0.0.1:1/a"
                jobs = (dbgraft.clone_async(nowhere, nowhere + "b") for _ in range(4))
                await asyncio.gather(*jobs, return_exceptions=True)
            asyncio.run(main())
            """
        )
        for _ in range(10)
    ]
    for script in scripts:
        code, out, err = script.end()
        # A server that cannot be reached is tried again, which is a warning.
        assert (code, out) == (0, "") and all("is tried again" in line for line in err.splitlines()), err


def test_a_program_that_ends_leaves_nothing(mysql: Bench) -> None:
    mysql.small()
    script = Script(
        """
        import sys, threading, dbgraft
        rows_flow = threading.Event()
        def on_event(event):
            if event.event == "progress" and event.rows:
                rows_flow.set()
        slow = dict(max_rate="300K", threads=8, memory="8MiB")
        job = dbgraft.CloneJob(sys.argv[1], sys.argv[2], on_event=on_event, **slow).start()
        rows_flow.wait()
        """,
        mysql.source,
        mysql.target,
    )
    code, _, err = script.end()
    assert code == 0 and err == ""
    assert_clean(mysql)


def test_ctrl_c_ends_status_and_abandon() -> None:
    for verb in ["status", "abandon"]:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            script = Script(
                f"""
                import sys, dbgraft
                print("asks", flush=True)
                dbgraft.{verb}(sys.argv[1])
                """,
                f"mysql://u:p@127.0.0.1:{silent.getsockname()[1]}/d",
            )
            script.read_until("asks")
            connection, _ = silent.accept()
            script.process.send_signal(signal.SIGINT)
            code, _, err = script.end()
            connection.close()
        assert code == -signal.SIGINT and "KeyboardInterrupt" in err, err


def test_a_paused_job_reads_nothing_until_it_goes_on(bench: Bench) -> None:
    bench.small()
    rows: list[int] = []

    def on_event(event: dbgraft.Event) -> None:
        if isinstance(event, dbgraft.ProgressEvent) and event.phase == "rows":
            rows.append(event.rows)

    job = dbgraft.CloneJob(bench.source, bench.target, on_event=on_event)
    job.pause()
    job.start()
    wait_until(lambda: len(rows) > 5)
    assert set(rows) == {0} and job.is_paused and not job.done
    job.unpause()
    assert job.wait().rows > 0 and not job.is_paused
