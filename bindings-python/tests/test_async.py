"""Jobs in asyncio."""

from __future__ import annotations

import asyncio

import dbgraft
import pytest
from conftest import Bench


def test_a_job_streams_its_events_and_gives_its_report(bench: Bench) -> None:
    bench.small()

    async def main() -> None:
        async with dbgraft.CloneJob(bench.source, bench.target) as job:
            kinds = [event.event async for event in job]
            report = await job
        assert kinds[0] == "phase" and "progress" in kinds and report.rows > 0

    asyncio.run(main())
    bench.assert_equal()


def test_the_loop_is_never_blocked(mysql: Bench) -> None:
    mysql.small()

    async def main() -> int:
        turns = 0
        task = asyncio.create_task(dbgraft.clone_async(mysql.source, mysql.target, via=mysql.via))
        while not task.done():
            await asyncio.sleep(0.01)
            turns += 1
        await task
        return turns

    # A blocked loop would turn once.
    assert asyncio.run(main()) > 5


def test_many_at_once_and_verify_and_plan(mysql: Bench) -> None:
    mysql.small()

    async def main() -> None:
        targets = [f"{mysql.target}_{number}" for number in range(3)]
        await asyncio.gather(*(dbgraft.clone_async(mysql.source, target, threads=1) for target in targets))
        found = await dbgraft.verify_async(mysql.source, targets[0])
        assert found.equal
        assert (await dbgraft.plan_async(mysql.source, mysql.target)).problems == ()

    asyncio.run(main())
    for number in range(3):
        mysql.at_target("DROP DATABASE {db}_" + str(number))


def test_errors_are_raised_where_the_job_is_awaited(mysql: Bench) -> None:
    async def main() -> None:
        with pytest.raises(dbgraft.ConnectionFailedError):
            await dbgraft.clone_async("mysql://app@127.0.0.1:1/a", mysql.target)
        with pytest.raises(dbgraft.ConnectionFailedError):
            async for _ in dbgraft.CloneJob("mysql://app@127.0.0.1:1/a", mysql.target):
                pass

    asyncio.run(main())


def test_a_source_of_async_methods_runs_on_the_loop(mysql: Bench) -> None:
    class Numbers(dbgraft.Source):
        async def catalog(self) -> dbgraft.Catalog:  # type: ignore[override]
            assert asyncio.get_running_loop()
            return dbgraft.catalog_of([("numbers", {"n": "int not null"}, ["n"])])

        async def read(self, table, chunk):  # type: ignore[no-untyped-def, override]
            for n in range(5000):
                if n % 1000 == 0:
                    await asyncio.sleep(0)
                yield (n,)

    asyncio.run(dbgraft.clone_async(Numbers(), mysql.target))
    assert mysql.at_target("SELECT COUNT(*), MAX(n) FROM {db}.numbers") == [(5000, 4999)]
    dbgraft.clone(Numbers(), mysql.target, if_exists="drop")
    assert mysql.at_target("SELECT COUNT(*) FROM {db}.numbers") == [(5000,)]


def test_a_cut_over_is_refused_while_the_target_differs(mysql: Bench) -> None:
    mysql.small()

    async def main() -> list[str]:
        differences: list[str] = []
        async with dbgraft.CloneJob(mysql.source, mysql.target, follow=True) as job:
            async for event in job:
                if isinstance(event, dbgraft.FollowingEvent) and not differences:
                    mysql.at_target("UPDATE {db}.customer SET name = 'other' WHERE id = 7")
                    job.cut_over(verify="checksum")
                elif isinstance(event, dbgraft.CutOverRefusedEvent):
                    differences.extend(str(difference) for difference in event.differences)
                    mysql.at_target("UPDATE {db}.customer SET name = 'someone' WHERE id = 7")
                    job.cut_over(verify="counts")
            assert (await job).followed is not None
        return differences

    assert "customer" in asyncio.run(main())[0]
    mysql.assert_equal()
