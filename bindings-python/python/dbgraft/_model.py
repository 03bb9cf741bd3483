"""What jobs tell and give back: frozen values, made of the same JSON as in Rust, in Node and in `--report`."""

from __future__ import annotations

import copy
import html
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, Optional, TypeVar, Union, get_args, get_origin, get_type_hints

_Self = TypeVar("_Self", bound="Value")


class Value:
    """A frozen value with `to_dict()`."""

    @classmethod
    def from_dict(cls: type[_Self], values: dict[str, Any]) -> _Self:
        """Make one of what `to_dict()` gave; names that are not known here are kept for `to_dict()` only."""
        kind: Any = cls
        hints = _hints(kind)
        known = {name: _read(hints[name], value) for name, value in values.items() if name in hints}
        made = cls(**known)
        object.__setattr__(made, "_values", values)
        return made

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values, the same as in a report file."""
        values: Optional[dict[str, Any]] = self.__dict__.get("_values")
        if values is not None:
            return copy.deepcopy(values)
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}  # type: ignore[arg-type]


@cache
def _hints(cls: Hashable) -> dict[str, Any]:
    given: Any = cls
    hints = get_type_hints(given)
    return {field.name: hints[field.name] for field in fields(given)}


def _read(hint: Any, value: Any) -> Any:
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Union:
        return None if value is None else _read(inner[0], value)
    if origin is tuple:
        return tuple(_read(inner[0], item) for item in value)
    if isinstance(hint, type) and issubclass(hint, Value):
        return hint.from_dict(value)
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, Value):
        return value.to_dict()
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


@dataclass(frozen=True)
class ObjectRef(Value):
    """Names one object of a database."""

    kind: str
    """`table`, `view`, `trigger`, `function`, `procedure`, `event`, `sequence`, `package`, `package_body` or `library`.
    """
    name: str
    """Its name, as the server stores it."""
    table: Optional[str] = None
    """The table a trigger belongs to."""

    def __str__(self) -> str:
        """`table orders`."""
        return f"{self.kind} {self.name}"


@dataclass(frozen=True)
class Server(Value):
    """The server that a catalog was read from."""

    flavor: str
    """`mysql` or `mariadb`."""
    version: str
    identity: str = ""
    max_allowed_packet: int = 0
    folds_names: bool = False


@dataclass(frozen=True)
class Database(Value):
    """A database and its defaults."""

    name: str
    charset: str
    collation: str
    comment: str = ""


@dataclass(frozen=True)
class Position(Value):
    """The moment of the rows, as far as the source could tell it."""

    rung: str
    """How it was held: `global_read_lock`, `backup_stage`, `table_locks`, `single_transaction`, `none`, `given`.
    """
    refused: tuple[str, ...] = ()
    """Why no better way was taken."""
    binlog_file: Optional[str] = None
    binlog_position: Optional[int] = None
    gtid: Optional[str] = None
    writers_waited_ms: Optional[int] = None
    """How long statements that write may have waited for our lock."""


@dataclass(frozen=True)
class LeftOut(Value):
    """Something that is not taken, and why."""

    object: ObjectRef
    reason: str


@dataclass(frozen=True)
class Fidelity(Value):
    """Something that is not at the target as it is at the source."""

    object: ObjectRef
    what: str
    severity: str
    """`note`: another form of the same; `warning`: something is lost or changed; `error`: it is not there."""
    source: str
    target: str


@dataclass(frozen=True)
class Finding(Value):
    """Something that the preflight found."""

    severity: str
    """`note`, `warning` or `error`."""
    message: str


@dataclass(frozen=True)
class Column(Value):
    """A column of a table."""

    name: str
    data_type: str
    """The bare type: `varchar`, `bigint`, `enum`."""
    column_type: str
    """The whole type: `varchar(20)`, `bigint unsigned`."""
    charset: Optional[str] = None
    collation: Optional[str] = None
    nullable: bool = True
    generated: bool = False
    """Whether its value is computed: such a column is never loaded."""
    stored: bool = False
    """Whether a computed value is stored with the row: then it is read too."""


@dataclass(frozen=True)
class Table(Value):
    """A base table as the catalog holds it."""

    name: str
    engine: str
    columns: tuple[Column, ...]
    history: bool = False
    primary_key: tuple[str, ...] = ()
    rows_estimate: int = 0
    data_bytes: int = 0
    index_bytes: int = 0
    create: str = ""

    @property
    def stored_columns(self) -> tuple[Column, ...]:
        """The columns whose values travel, in the order of a row."""
        return tuple(column for column in self.columns if not column.generated or column.stored)


@dataclass(frozen=True)
class Definition(Value):
    """The definition of an object that is not a table, with the settings it was made under."""

    object: ObjectRef
    create: str
    sql_mode: str = ""
    character_set_client: str = ""
    collation_connection: str = ""
    database_collation: str = ""
    time_zone: str = ""
    state: Optional[str] = None


@dataclass(frozen=True)
class Catalog(Value):
    """Everything that a source holds."""

    server: Server
    database: Database
    tables: tuple[Table, ...]
    definitions: tuple[Definition, ...] = ()


@dataclass(frozen=True)
class SelectedTable(Value):
    """A table that was chosen."""

    name: str
    filter: Optional[str] = None


@dataclass(frozen=True)
class Selection(Value):
    """What was chosen from a catalog."""

    tables: tuple[SelectedTable, ...]
    objects: tuple[ObjectRef, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    rows: bool = True
    schema: bool = True
    whole: bool = False


@dataclass(frozen=True)
class Chunk(Value):
    """A key range of one table, the unit of reading."""

    number: int
    after: Optional[tuple[str, ...]] = None
    until: Optional[tuple[str, ...]] = None


@dataclass(frozen=True)
class TablePlan(Value):
    """What is done for one table."""

    number: int
    table: Table
    filter: Optional[str] = None
    chunk_key: tuple[str, ...] = ()
    chunks: tuple[Chunk, ...] = ()

    @property
    def name(self) -> str:
        """The table's name."""
        return self.table.name


@dataclass(frozen=True)
class Plan(Value):
    """Everything that is known before the first row."""

    server: Server
    database: Database
    position: Position
    schema: bool
    tables: tuple[TablePlan, ...]
    definitions: tuple[Definition, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    fidelity: tuple[Fidelity, ...] = ()
    warnings: tuple[str, ...] = ()
    invalid: tuple[ObjectRef, ...] = ()
    """The views that the source's own server cannot run."""


@dataclass(frozen=True)
class DifferingRow(Value):
    """A row that is not the same on both sides."""

    key: str
    place: str
    """`source`: only there; `target`: only there; `both`: other values."""


@dataclass(frozen=True)
class Difference(Value):
    """Something of a table, or of a key range of it, that is not the same on both sides."""

    object: ObjectRef
    range: Optional[str]
    what: str
    rows: tuple[DifferingRow, ...] = ()
    more: int = 0

    def __str__(self) -> str:
        """`table orders, id > 5: 4 rows at the source, 3 at the target`."""
        return f"{self.object}{', ' + self.range if self.range else ''}: {self.what}"


@dataclass(frozen=True)
class Verification(Value):
    """How the target was compared with what was read, and what is different."""

    how: str
    tables: int
    chunks: int
    rows: int
    differences: tuple[Difference, ...]
    skipped: tuple[LeftOut, ...] = ()


@dataclass(frozen=True)
class Comparison(Value):
    """What `verify` found."""

    source: str
    target: str
    position: Position
    how: str
    tables: int
    chunks: int
    rows: int
    differences: tuple[Difference, ...]
    left_out: tuple[LeftOut, ...]
    warnings: tuple[str, ...]
    seconds: float
    skipped: tuple[LeftOut, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether nothing is different."""
        return not self.differences

    def __repr__(self) -> str:
        """One line."""
        found = "equal" if self.equal else f"{len(self.differences)} differences"
        return f"<Comparison of {self.source} with {self.target}: {found}, {self.tables} tables, {self.rows} rows>"

    def _repr_html_(self) -> str:
        rows = [(str(found.object), found.range or "all", found.what) for found in self.differences]
        return _page(repr(self), ("object", "keys", "difference"), rows)


@dataclass(frozen=True)
class Overview(Value):
    """What a clone would do, and what stands against it."""

    source: str
    target: str
    plan: Plan
    fidelity: tuple[Fidelity, ...]
    findings: tuple[Finding, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """What would keep the clone from being made; empty when it can be."""
        return tuple(found.message for found in self.findings if found.severity == "error")

    def __repr__(self) -> str:
        """One line."""
        size = f"{len(self.plan.tables)} tables, {len(self.plan.definitions)} other objects"
        return f"<Overview of {self.source} into {self.target}: {size}, {len(self.problems)} problems>"

    def _repr_html_(self) -> str:
        tables = (table.table for table in self.plan.tables)
        rows = [(f"table {t.name}", f"about {t.rows_estimate:,}", _size(t.data_bytes)) for t in tables]
        rows += [(str(definition.object), "", "") for definition in self.plan.definitions]
        found = "".join(f"<li><b>{_safe(f.severity)}</b>: {_safe(f.message)}</li>" for f in self.findings)
        return _page(repr(self), ("object", "rows", "size"), rows) + (f"<ul>{found}</ul>" if found else "")


@dataclass(frozen=True)
class ObjectReport(Value):
    """What was done for one object."""

    object: ObjectRef
    rows: int
    bytes: int
    seconds: float
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report(Value):
    """What a clone did."""

    source: str
    target: str
    archive: Optional[str]
    """The archive it went through and was kept in, if any."""
    server: Server
    database: Database
    position: Position
    objects: tuple[ObjectReport, ...]
    left_out: tuple[LeftOut, ...]
    fidelity: tuple[Fidelity, ...]
    """What is not at the target as it is at the source; empty for an exact clone."""
    warnings: tuple[str, ...]
    rows: int
    bytes: int
    seconds: float
    verified: Optional[Verification] = None

    def __repr__(self) -> str:
        """One line."""
        size = f"{len(self.objects)} objects, {self.rows:,} rows, {_size(self.bytes)} in {self.seconds:.1f} s"
        return f"<Report of {self.source} into {self.target}: {size}>"

    def _repr_html_(self) -> str:
        rows = [
            (str(done.object), f"{done.rows:,}", _size(done.bytes), f"{done.seconds:.2f} s") for done in self.objects
        ]
        told = [*self.warnings, *(f"{found.object}: {found.what}" for found in self.fidelity)]
        notes = "".join(f"<li>{_safe(note)}</li>" for note in told)
        page = _page(repr(self), ("object", "rows", "size", "time"), rows)
        return page + (f"<ul>{notes}</ul>" if notes else "")


def _size(number: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def _safe(text: str) -> str:
    return html.escape(text)


def _page(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{_safe(name)}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{_safe(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    caption = _safe(caption.strip("<>"))
    return f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


@dataclass(frozen=True)
class Event(Value):
    """What a job tells while it runs. `event` says which kind it is, as does the class."""

    event: str


@dataclass(frozen=True)
class PhaseEvent(Event):
    """A phase begins."""

    leg: str
    """`clone` for a direct one, `export` and `import` for one through an archive, `verify` for a comparison."""
    phase: str
    """`preflight`, `snapshot`, `tables`, `rows`, `indexes`, `verify`, `objects`, `done`, `cleanup`."""


@dataclass(frozen=True)
class StartedEvent(Event):
    """Work on an object begins."""

    leg: str
    object: ObjectRef


@dataclass(frozen=True)
class FinishedEvent(Event):
    """An object is complete."""

    leg: str
    object: ObjectRef
    rows: int
    bytes: int
    seconds: float


@dataclass(frozen=True)
class ProgressEvent(Event):
    """How far a leg is; several times a second while rows flow. Totals are estimates until all is read."""

    leg: str
    phase: str
    rows: int
    bytes: int
    rows_total: int
    bytes_total: int
    rate: float
    """Bytes a second over the last seconds."""
    elapsed: float
    """Seconds since the leg began."""
    eta: Optional[float]
    """Seconds to go; None while nobody can tell."""


@dataclass(frozen=True)
class WarningEvent(Event):
    """Something that you should know now; it is in the report too."""

    message: str


_EVENTS: dict[str, type[Event]] = {
    "phase": PhaseEvent,
    "started": StartedEvent,
    "finished": FinishedEvent,
    "progress": ProgressEvent,
    "warning": WarningEvent,
}


def read_event(values: dict[str, Any]) -> Event:
    """Make the event of its JSON."""
    return _EVENTS.get(values["event"], Event).from_dict(values)
