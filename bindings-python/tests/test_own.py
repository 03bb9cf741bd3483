"""Sources and sinks in Python."""

from __future__ import annotations

import datetime
import decimal
import resource
import threading
import uuid
from collections.abc import Iterable, Iterator

import dbgraft
import pytest
from conftest import HANG_GUARD, Bench

SQUARES = {"n": "bigint not null", "square": "bigint"}


def test_a_million_rows_from_a_generator_in_flat_memory(mysql: Bench) -> None:
    pulled = 0

    def numbers() -> Iterator[tuple[int, int, str]]:
        nonlocal pulled
        for n in range(1_000_000):
            pulled += 1
            yield n, n * n, "x" * 100

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    columns = {**SQUARES, "filler": "varchar(100)"}
    report = dbgraft.clone(
        dbgraft.Rows("squares", numbers, columns, primary_key="n"), mysql.target, memory="16MiB", threads=2
    )
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert report.rows == pulled == 1_000_000
    expected = (1_000_000, sum(n * n for n in range(1_000_000)))
    assert mysql.at_target("SELECT COUNT(*), SUM(square) FROM {db}.squares") == [expected]
    assert grown < 120 * 1024, f"{grown} KiB"


def test_values_of_every_type_arrive(bench: Bench) -> None:
    columns = {
        "id": "int not null auto_increment",
        "big": "bigint unsigned",
        "price": "decimal(65,2)",
        "ratio": "double",
        "yes": "boolean",
        "name": "varchar(50)",
        "raw": "varbinary(20)",
        "day": "date",
        "moment": "datetime(6)",
        "span": "time(6)",
        "kind": "enum('small','it''s big')",
        "flags": "set('a','b','c')",
        "bits": "bit(12)",
        "doc": "json",
        "key_": "char(36)",
        "old": "varchar(10) character set latin1",
    }
    unique = uuid.UUID(int=7)
    zone = datetime.timezone(datetime.timedelta(hours=2))
    row = {
        "id": 1,
        "big": 2**64 - 1,
        "price": decimal.Decimal("12345678901234567890123456789012345.67"),
        "ratio": 0.1,
        "yes": True,
        "name": "a\tb\\c\nü😀",
        "raw": bytes(range(0, 20)),
        "day": datetime.date(2026, 2, 28),
        "moment": datetime.datetime(2026, 2, 28, 12, 0, 0, 123456, tzinfo=zone),
        "span": datetime.timedelta(hours=-30, microseconds=5),
        "kind": "it's big",
        "flags": {"a", "c"},
        "bits": 0xABC,
        "doc": {"a": [1, "ü"]},
        "key_": unique,
        "old": b"\xe9",
    }
    empty = {**dict.fromkeys(columns), "id": 2}
    dbgraft.clone(dbgraft.Rows("all_types", [row, empty], columns, primary_key="id"), bench.target)
    got: list[tuple] = []

    class Keep(dbgraft.Sink):
        def write(self, table: dbgraft.TablePlan, batch: dbgraft.Batch) -> None:
            got.extend(dbgraft.decode(table, batch))

    dbgraft.clone(bench.target, Keep())
    expected = {
        **row,
        "moment": datetime.datetime(2026, 2, 28, 10, 0, 0, 123456),
        "flags": "a,c",
        "yes": 1,
        "key_": str(unique),
        "old": "é",
    }
    found = dict(zip(columns, got[0]))
    assert found.pop("doc").replace(" ", "") == '{"a":[1,"ü"]}'
    expected.pop("doc")
    assert found == expected
    assert got[1] == (2, *[None] * (len(columns) - 1))


def test_a_value_that_no_column_takes_is_refused_by_row_and_column(mysql: Bench) -> None:
    def refused(rows: Iterable[dbgraft.Row], match: str, columns: dict[str, str] = SQUARES) -> None:
        with pytest.raises(dbgraft.CloneError, match=match) as caught:
            dbgraft.clone(dbgraft.Rows("t", rows, columns), mysql.target)
        assert isinstance(caught.value, (dbgraft.DataError, dbgraft.CallbackError, dbgraft.ServerError)), repr(
            caught.value
        )
        assert not mysql.target_exists()

    refused([(1, 2), (1,)], "1 values.*2 columns.*row 2")
    refused([(1, 2, 3)], "2 columns")
    refused([{"n": 1}], "no value for column square")
    refused([{"n": 1, "square": 1, "cube": 1}], "cube")
    refused(["ab"], "a tuple, a list or a dict")
    refused([(1, float("nan"))], "NaN")
    refused([(1, object())], "type object has no form")
    refused([(None, 1)], "n")
    refused([(1, "x")], "square")
    refused([("c",)], "`c` is not one of its members", {"e": "enum('a','b')"})
    with pytest.raises(dbgraft.UsageError, match="columns"):
        dbgraft.Rows("t", [(1,)])
    with pytest.raises(dbgraft.UsageError, match="primary key"):
        dbgraft.Rows("t", [(1,)], {"a": "int"}, primary_key="b")


def test_an_exception_of_a_source_is_the_cause_and_nothing_is_left(mysql: Bench) -> None:
    def rows() -> Iterator[tuple[int, int]]:
        yield 1, 1
        raise LookupError("the file has ended too early")

    with pytest.raises(dbgraft.CallbackError, match="source's read.*too early") as caught:
        dbgraft.clone(dbgraft.Rows("t", rows, SQUARES), mysql.target)
    assert isinstance(caught.value.__cause__, LookupError)
    assert not mysql.target_exists()


def test_cancelling_ends_the_reading_of_an_endless_source(mysql: Bench) -> None:
    begun, ended = threading.Event(), threading.Event()

    def rows() -> Iterator[tuple[int, int]]:
        try:
            n = 0
            while True:
                yield n, n
                n += 1
                begun.set()
        finally:
            ended.set()

    job = dbgraft.CloneJob(dbgraft.Rows("t", rows, SQUARES, primary_key="n"), mysql.target, memory="8MiB").start()
    assert begun.wait(HANG_GUARD)
    job.cancel()
    with pytest.raises(dbgraft.CancelledError):
        job.wait()
    assert ended.wait(HANG_GUARD)
    assert not mysql.target_exists()


def test_data_frames_bring_their_columns(mysql: Bench) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "id": [1, 2],
            "name": ["a", None],
            "at": pandas.to_datetime(["2026-01-02 03:04:05.000006", None]),
            "rate": [1.5, float("nan")],
        }
    )
    dbgraft.clone(dbgraft.Rows("frame", frame, {"name": "varchar(20)"}, primary_key="id"), mysql.target)
    first = (1, "a", datetime.datetime(2026, 1, 2, 3, 4, 5, 6), 1.5)
    assert mysql.at_target("SELECT * FROM {db}.frame ORDER BY id") == [first, (2, None, None, None)]


def test_polars_and_arrow_bring_their_columns(mysql: Bench) -> None:
    polars = pytest.importorskip("polars")
    arrow = pytest.importorskip("pyarrow")
    data = {"id": [1, 2], "price": [decimal.Decimal("1.50"), None], "day": [datetime.date(2026, 1, 2), None]}
    tables = [
        dbgraft.Rows("one", polars.DataFrame(data), primary_key="id"),
        dbgraft.Rows("two", arrow.table(data), primary_key="id"),
    ]
    dbgraft.clone(dbgraft.Tables(tables), mysql.target)
    expected = [(1, decimal.Decimal("1.50"), datetime.date(2026, 1, 2)), (2, None, None)]
    for name in ("one", "two"):
        assert mysql.at_target("SELECT * FROM {db}." + name + " ORDER BY id") == expected


class MemorySink(dbgraft.Sink):
    """Keeps the text of all batches, and what was called."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.text: dict[str, bytes] = {}
        self.lock = threading.Lock()
        self.failures = 0

    def begin(self, plan: dbgraft.Plan) -> None:
        self.calls.append("begin")

    def write(self, table: dbgraft.TablePlan, batch: dbgraft.Batch) -> None:
        with self.lock:
            if self.failures > 0:
                self.failures -= 1
                raise dbgraft.ConnectionFailedError("try again", retryable=True)
            assert len(list(batch)) == batch.rows == len(batch)
            self.text[table.name] = self.text.get(table.name, b"") + batch.data

    def complete(self, table: dbgraft.TablePlan) -> None:
        self.calls.append(f"complete {table.name}")

    def finish(self, plan: dbgraft.Plan) -> Iterable[str]:
        self.calls.append("finish")
        return ["kept in memory"]

    def abort(self) -> None:
        self.calls.append("abort")


def test_batches_go_through_python_unchanged(mysql: Bench) -> None:
    mysql.small()
    kept = MemorySink()
    kept.failures = 2
    report = dbgraft.clone(mysql.source, kept, include=["orders"], threads=3)
    assert kept.calls == ["begin", "complete orders", "finish"] and "kept in memory" in report.warnings
    columns = [c for c in dbgraft.plan(mysql.source, MemorySink(), include=["orders"]).plan.tables[0].table.columns]

    class Again(dbgraft.Source):
        def catalog(self) -> dbgraft.Catalog:
            stored = {c.name: c.column_type for c in columns if not c.generated}
            return dbgraft.catalog_of([("orders", stored, ["id"])])

        def read(self, table: dbgraft.TablePlan, chunk: dbgraft.Chunk) -> Iterable[dbgraft.Row]:
            yield dbgraft.Batch(kept.text["orders"])

    dbgraft.clone(Again(), mysql.target)
    count = "SELECT COUNT(*), SUM(id) FROM {db}.orders"
    assert mysql.at_source(count) == mysql.at_target(count)


def test_a_sink_that_reads_back_can_be_verified(mysql: Bench) -> None:
    mysql.small()

    class ReadableSink(dbgraft.Sink):
        def __init__(self) -> None:
            self.batches: list[dbgraft.Batch] = []

        def write(self, table: dbgraft.TablePlan, batch: dbgraft.Batch) -> None:
            self.batches.append(batch)

        def read_back(self, table: dbgraft.TablePlan, chunk: dbgraft.Chunk) -> Iterable[dbgraft.Row]:
            return [b for b in self.batches if (b.table, b.chunk) == (table.number, chunk.number)]

    sink = ReadableSink()
    report = dbgraft.clone(mysql.source, sink, include=["orders"], verify="checksum")
    assert report.verified is not None and report.verified.rows == 10_000
    assert dbgraft.verify(mysql.source, sink, include=["orders"]).equal
    mysql.at_source("DELETE FROM {db}.orders WHERE id = 1")
    assert not dbgraft.verify(mysql.source, sink, include=["orders"]).equal
    with pytest.raises(dbgraft.PreflightError, match="read back"):
        dbgraft.clone(mysql.source, MemorySink(), verify="counts")


def test_an_exception_of_a_sink_ends_the_clone(mysql: Bench) -> None:
    mysql.small()

    class Full(MemorySink):
        def write(self, table: dbgraft.TablePlan, batch: dbgraft.Batch) -> None:
            raise OSError("no room")

    sink = Full()
    with pytest.raises(dbgraft.CallbackError, match="sink's write failed.*no room") as caught:
        dbgraft.clone(mysql.source, sink)
    assert isinstance(caught.value.__cause__, OSError) and sink.calls[-1] == "abort"
