"""Sources for rows of Python: iterables, data frames and Arrow tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Callable, Optional, Union

from ._custom import Columns, Row, Source, catalog_of
from ._errors import UsageError
from ._plans import Catalog, Chunk, TablePlan

_BLOCK = 10_000


class Rows(Source):
    """A source of one table: `dbgraft.clone(dbgraft.Rows("orders", rows, {"id": "bigint not null"}), url)`.

    `rows` is an iterable of tuples, lists or dicts, a function that returns one, a pandas or Polars DataFrame, or an
    Arrow Table, RecordBatch or RecordBatchReader. `columns` are definitions as in `CREATE TABLE`; the columns of a data
    frame have defaults by type. Rows are pulled as the target accepts them.
    """

    def __init__(
        self,
        name: str,
        rows: Union[Iterable[Row], Callable[[], Iterable[Row]], Any],
        columns: Optional[Columns] = None,
        *,
        primary_key: Union[str, Sequence[str]] = (),
    ) -> None:
        """Describe the table without reading rows."""
        self.name = name
        self.columns = _columns(name, rows, columns)
        self.primary_key = (primary_key,) if isinstance(primary_key, str) else tuple(primary_key)
        unknown = [key for key in self.primary_key if key not in self.columns]
        if unknown:
            raise UsageError(f"table {name}: its primary key has no column {', '.join(unknown)}")
        self._rows = rows
        self._iterated = False

    @property
    def rows_estimate(self) -> int:
        """The number of rows; 0 if unknown."""
        try:
            return len(self._rows)  # type: ignore[arg-type]
        except TypeError:
            return 0

    def catalog(self) -> Catalog:
        """Return the catalog of the table."""
        return Tables([self]).catalog()

    def read(self, table: TablePlan, chunk: Chunk) -> Iterable[Row]:
        """Return the rows."""
        rows = self._rows() if callable(self._rows) else self._rows
        frames = _FRAMES.get(_library(rows))
        if frames is not None:
            return frames[1](rows)
        if iter(rows) is rows:
            if self._iterated:
                raise UsageError(
                    f"the rows of table {self.name} were already read: "
                    "pass a list, or a function that returns a new iterator"
                )
            self._iterated = True
        return rows


class Tables(Source):
    """A source of several tables: `dbgraft.Tables([dbgraft.Rows(…), dbgraft.Rows(…)])`."""

    def __init__(self, tables: Iterable[Rows]) -> None:
        """Combine the tables."""
        self._tables = {table.name: table for table in tables}

    def catalog(self) -> Catalog:
        """Return the catalog of all tables."""
        tables = self._tables.values()
        estimates = {table.name: table.rows_estimate for table in tables}
        return catalog_of(((t.name, t.columns, t.primary_key) for t in tables), rows=estimates)

    def read(self, table: TablePlan, chunk: Chunk) -> Iterable[Row]:
        """Return the rows of one table."""
        return self._tables[table.name].read(table, chunk)


def _library(rows: Any) -> str:
    return type(rows).__module__.partition(".")[0]


def _columns(name: str, rows: Any, given: Optional[Columns]) -> dict[str, str]:
    explicit = dict(given.items() if isinstance(given, Mapping) else given or ())
    frames = _FRAMES.get(_library(rows))
    if frames is None:
        if not explicit:
            raise UsageError(f'table {name}: pass its columns, {{"id": "bigint not null", …}}')
        return explicit
    derived = {column: _sql_type(kind) for column, kind in frames[0](rows)}
    unknown = [column for column in explicit if column not in derived]
    if unknown:
        raise UsageError(f"table {name}: the data has no column {', '.join(unknown)}")
    return {**derived, **explicit}


def _pandas_types(frame: Any) -> Iterator[tuple[str, str]]:
    return ((str(name), str(kind)) for name, kind in frame.dtypes.items())


def _pandas_rows(frame: Any) -> Iterator[Row]:
    for start in range(0, len(frame), _BLOCK):
        part = frame.iloc[start : start + _BLOCK]
        yield from part.astype(object).where(part.notna(), None).itertuples(index=False, name=None)


def _polars_types(frame: Any) -> Iterator[tuple[str, str]]:
    return ((name, str(kind)) for name, kind in frame.collect_schema().items())


def _polars_rows(frame: Any) -> Iterator[Row]:
    frame = frame.collect() if hasattr(frame, "collect") else frame
    rows: Iterator[Row] = frame.iter_rows()
    return rows


def _arrow_types(table: Any) -> Iterator[tuple[str, str]]:
    return ((field.name, str(field.type)) for field in table.schema)


def _arrow_rows(table: Any) -> Iterator[Row]:
    if hasattr(table, "to_batches"):
        batches = table.to_batches(max_chunksize=_BLOCK)
    else:
        batches = [table] if hasattr(table, "num_rows") else table
    for batch in batches:
        for start in range(0, batch.num_rows, _BLOCK):
            yield from zip(*(column.to_pylist() for column in batch.slice(start, _BLOCK).columns))


_FRAMES: dict[str, tuple[Callable[[Any], Iterable[tuple[str, str]]], Callable[[Any], Iterable[Row]]]] = {
    "pandas": (_pandas_types, _pandas_rows),
    "polars": (_polars_types, _polars_rows),
    "pyarrow": (_arrow_types, _arrow_rows),
}

_SQL_TYPES = {
    "bool": "boolean",
    "boolean": "boolean",
    "int8": "tinyint",
    "int16": "smallint",
    "int32": "int",
    "int64": "bigint",
    "uint8": "tinyint unsigned",
    "uint16": "smallint unsigned",
    "uint32": "int unsigned",
    "uint64": "bigint unsigned",
    "float": "float",
    "halffloat": "float",
    "float16": "float",
    "float32": "float",
    "float64": "double",
    "double": "double",
    "date": "date",
    "date32[day]": "date",
    "date64[ms]": "date",
    "binary": "longblob",
    "large_binary": "longblob",
}


def _sql_type(kind: str) -> str:
    """Return the column type for a type of pandas, Polars or Arrow."""
    kind = kind.lower()
    if kind in _SQL_TYPES:
        return _SQL_TYPES[kind]
    if kind.startswith(("datetime", "timestamp")):
        return "datetime(6)"
    if kind.startswith(("time", "duration")):
        return "time(6)"
    if kind.startswith("decimal"):
        digits = "".join(letter if letter.isdigit() else " " for letter in kind.partition("(")[2]).split()
        return f"decimal({','.join(digits[:2])})" if len(digits) > 1 else "decimal(38,10)"
    if kind.startswith(("list", "struct", "large_list", "map", "array")):
        return "json"
    return "longtext"
