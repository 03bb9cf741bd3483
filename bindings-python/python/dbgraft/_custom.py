"""Custom sources, sinks and selectors, and their adapters for the native module."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Callable, Optional, Union

from . import _native
from ._json_value import JsonValue
from ._native import Batch
from ._plans import Catalog, Chunk, FidelityIssue, Finding, ObjectRef, Plan, Selection, TablePlan
from ._values import to_sql

Row = Union[Sequence[Any], Mapping[str, Any], Batch]
"""A row: values in the order of the columns, or by their names. A `Batch` stands for all of its rows."""


class Source:
    """The base of custom sources. Override at least `catalog()` and `read()`. Each method may be `async`.

    Order of calls: `catalog()`, then `check()` and `plan()` any number of times, then `snapshot()` once, then `read()`
    for each chunk of the plan, concurrently and on threads of dbgraft, then `notes()`, and finally `close()`,
    also after an error.
    """

    def catalog(self) -> Catalog:
        """Return the catalog; `catalog_of()` creates one from column definitions. Must not change anything."""
        raise NotImplementedError("a Source needs catalog()")

    def check(self, selection: Selection) -> Iterable[Union[Finding, str]]:
        """Return the problems that prevent reading the selection. Must not change anything."""
        return ()

    def plan(self, selection: Selection) -> Plan:
        """Return the plan that `snapshot()` would return now. By default each table is one chunk."""
        catalog = _to_json(_await_result(self.catalog(), None))
        return Plan.from_dict(json.loads(_native.plan_of(catalog, _to_json(selection))))

    def snapshot(self, selection: Selection) -> Plan:
        """Take the snapshot and hold it until `close()`."""
        return self.plan(selection)

    def read(self, table: TablePlan, chunk: Chunk) -> Iterable[Row]:
        """Return the rows of a chunk, in key order if there is a key.

        Rows are pulled as the target accepts them, so a generator needs little memory.
        """
        raise NotImplementedError("a Source needs read()")

    def notes(self) -> Iterable[str]:
        """Return warnings about the rows that were read; called once, after the last row."""
        return ()

    def close(self) -> None:
        """Release all resources. May be called while chunks are read, and more than once."""


class Sink:
    """The base of custom sinks. Override at least `write()`. Each method may be `async`.

    Order of calls: `check()` any number of times, `begin()` once, `write()` for each batch, concurrently, in any order
    and on threads of dbgraft, `complete()` once for each table, and finally `finish()` or `abort()`.
    """

    def check(self, catalog: Catalog, selection: Selection) -> Iterable[Union[Finding, str]]:
        """Return the problems that prevent writing the selection. Must not change anything."""
        return ()

    def unsupported(self, catalog: Catalog, selection: Selection) -> Iterable[FidelityIssue]:
        """Return the parts of the selection that the sink does not support. Must not change anything."""
        return ()

    def existing(self) -> Iterable[ObjectRef]:
        """Return the existing objects; with `if_exists="skip"` they are left out of the clone."""
        return ()

    def begin(self, plan: Plan) -> None:
        """Prepare for the rows."""

    def write(self, table: TablePlan, batch: Batch) -> None:
        """Write one batch atomically and durably.

        After a `CloneError` with `retryable=True` it is called again with the same batch.
        """
        raise NotImplementedError("a Sink needs write()")

    def complete(self, table: TablePlan) -> None:
        """Complete a table after its last batch."""

    def read_back(self, table: TablePlan, chunk: Chunk) -> Iterable[Row]:
        """Return the stored rows of a chunk, for `verify`. Without this method a clone with `verify` is refused.

        Batches are faster than rows: `batch.table` and `batch.chunk` identify the batches of a chunk.
        """
        raise NotImplementedError("this Sink has no read_back()")

    def counterparts(self, plan: Plan) -> Iterable[Optional[TablePlan]]:
        """Return the sink's table for each table of the plan, or None if it is missing; for `dbgraft.verify`."""
        return plan.tables

    def finish(self, plan: Plan) -> Iterable[str]:
        """Complete the clone after the last table and return warnings."""
        return ()

    def abort(self) -> None:
        """Remove everything that was created, after an error or a cancellation. Other calls may still be running."""


Columns = Union[Mapping[str, str], Iterable[tuple[str, str]]]


def catalog_of(
    tables: Iterable[tuple[str, Columns, Sequence[str]]], *, rows: Optional[Mapping[str, int]] = None
) -> Catalog:
    """Create a catalog from the name, the columns (`{"id": "bigint not null"}`) and the primary key of each table."""
    rows = rows or {}
    definitions = [
        (
            name,
            list(columns.items() if isinstance(columns, Mapping) else columns),
            list(key),
            rows.get(name, 0),
        )
        for name, columns, key in tables
    ]
    return Catalog.from_dict(json.loads(_native.catalog_of(definitions)))


def _await_result(value: Any, loop: Optional[asyncio.AbstractEventLoop]) -> Any:
    """Wait for the result of an async method, on the loop of the job if it has one."""
    if not inspect.isawaitable(value):
        return value

    async def await_value(value: Awaitable[Any]) -> Any:
        return await value

    if loop is not None and not loop.is_closed():
        return asyncio.run_coroutine_threadsafe(await_value(value), loop).result()
    return asyncio.run(await_value(value))


def _plain(value: Any) -> Any:
    if isinstance(value, JsonValue):
        return value.to_dict()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _to_json(value: Any) -> str:
    return json.dumps(_plain(value))


def _findings_to_json(findings: Iterable[Union[Finding, str]]) -> str:
    return _to_json([{"severity": "error", "message": f} if isinstance(f, str) else f for f in findings or ()])


def _notes_to_json(notes: Iterable[str]) -> str:
    return _to_json([{"message": {"object": None, "message": note}} for note in notes or ()])


def _read_rows(
    method: Callable[..., Any], table: str, chunk: str, loop: Optional[asyncio.AbstractEventLoop]
) -> tuple[Iterator[Row], Callable[[Any], Any]]:
    plan, part = TablePlan.from_dict(json.loads(table)), Chunk.from_dict(json.loads(chunk))
    rows = _await_result(method(plan, part), loop)
    if hasattr(rows, "__aiter__"):
        rows = _row_blocks(rows.__aiter__(), loop)
    return iter(rows), to_sql


def _row_blocks(rows: AsyncIterator[Row], loop: Optional[asyncio.AbstractEventLoop]) -> Iterator[Row]:
    async def next_block() -> list[Row]:
        taken: list[Row] = []
        async for row in rows:
            taken.append(row)
            if len(taken) == 1000:
                break
        return taken

    if loop is None:
        # An async generator belongs to one loop from its first row to its last.
        own = asyncio.new_event_loop()
        try:
            while taken := own.run_until_complete(next_block()):
                yield from taken
        finally:
            own.close()
    else:
        while taken := asyncio.run_coroutine_threadsafe(next_block(), loop).result():
            yield from taken


class SourceAdapter:
    """Adapts a source to the native module, which passes JSON."""

    def __init__(self, source: Source, loop: Optional[asyncio.AbstractEventLoop]) -> None:
        self._source = source
        self._loop = loop

    def _call(self, method: Callable[..., Any], *args: Any) -> Any:
        return _await_result(method(*args), self._loop)

    def catalog(self, _: str) -> str:
        return _to_json(self._call(self._source.catalog))

    def check(self, selection: str) -> str:
        return _findings_to_json(self._call(self._source.check, _selection_from_json(selection)))

    def plan(self, selection: str) -> str:
        return _to_json(self._call(self._source.plan, _selection_from_json(selection)))

    def snapshot(self, selection: str) -> str:
        return _to_json(self._call(self._source.snapshot, _selection_from_json(selection)))

    def read(self, table: str, chunk: str) -> tuple[Iterator[Row], Callable[[Any], Any]]:
        return _read_rows(self._source.read, table, chunk, self._loop)

    def notes(self, _: str) -> str:
        return _notes_to_json(self._call(self._source.notes))

    def close(self, _: str) -> str:
        return _to_json(self._call(self._source.close))


class SinkAdapter:
    """Adapts a sink to the native module."""

    def __init__(self, sink: Sink, loop: Optional[asyncio.AbstractEventLoop]) -> None:
        self._sink = sink
        self._loop = loop
        self._tables: tuple[TablePlan, ...] = ()

    def _call(self, method: Callable[..., Any], *args: Any) -> Any:
        return _await_result(method(*args), self._loop)

    def check(self, arguments: str) -> str:
        return _findings_to_json(self._call(self._sink.check, *_catalog_and_selection(arguments)))

    def unsupported(self, arguments: str) -> str:
        return _to_json(list(self._call(self._sink.unsupported, *_catalog_and_selection(arguments)) or ()))

    def existing(self, _: str) -> str:
        return _to_json(list(self._call(self._sink.existing) or ()))

    def begin(self, plan: str) -> str:
        read = Plan.from_dict(json.loads(plan))
        self._tables = read.tables
        self._call(self._sink.begin, read)
        return _to_json({"loaded": []})

    def write(self, table: int, batch: Batch) -> None:
        self._call(self._sink.write, self._tables[table], batch)

    @property
    def reads_back(self) -> bool:
        return type(self._sink).read_back is not Sink.read_back

    def counterparts(self, plan: str) -> str:
        return _to_json(list(self._call(self._sink.counterparts, Plan.from_dict(json.loads(plan)))))

    def read_back(self, table: str, chunk: str) -> tuple[Iterator[Row], Callable[[Any], Any]]:
        return _read_rows(self._sink.read_back, table, chunk, self._loop)

    def complete(self, table: str) -> str:
        return _to_json(self._call(self._sink.complete, self._tables[json.loads(table)]))

    def finish(self, plan: str) -> str:
        return _notes_to_json(self._call(self._sink.finish, Plan.from_dict(json.loads(plan))))

    def abort(self, _: str) -> str:
        return _to_json(self._call(self._sink.abort))


class SelectorAdapter:
    """Adapts a selector, a callable or an object with `select()` and `rows()`, to the native module."""

    def __init__(self, selector: Any) -> None:
        self._select = getattr(selector, "select", selector)
        self._rows = getattr(selector, "rows", None)

    def select(self, kind: str, name: str, table: Optional[str]) -> bool:
        return bool(self._select(ObjectRef(kind, name, table)))

    def rows(self, kind: str, name: str, table: Optional[str]) -> Optional[str]:
        found: Optional[str] = self._rows(ObjectRef(kind, name, table)) if self._rows else None
        return found


def _selection_from_json(text: str) -> Selection:
    return Selection.from_dict(json.loads(text))


def _catalog_and_selection(text: str) -> tuple[Catalog, Selection]:
    catalog, selection = json.loads(text)
    return Catalog.from_dict(catalog), Selection.from_dict(selection)
