"""Plans, reports and comparisons: frozen values with the same fields as in Rust, in Node and in `--report`."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Optional

from ._json_value import JsonValue


@dataclass(frozen=True)
class ObjectRef(JsonValue):
    """The kind and the name of an object."""

    kind: str
    """`table`, `view`, `trigger`, `function`, `procedure`, `event`, `sequence`, `package`, `package_body` or `library`.
    """
    name: str
    """Its name in the server's spelling."""
    table: Optional[str] = None
    """The table of a trigger."""

    def __str__(self) -> str:
        """Format as `table orders`."""
        return f"{self.kind} {self.name}"


@dataclass(frozen=True)
class Server(JsonValue):
    """The server that a catalog was read from."""

    flavor: str
    """`mysql` or `mariadb`."""
    version: str
    identity: str = ""
    max_allowed_packet: int = 0
    folds_names: bool = False


@dataclass(frozen=True)
class Database(JsonValue):
    """A database and its defaults."""

    name: str
    charset: str
    collation: str
    comment: str = ""


@dataclass(frozen=True)
class Position(JsonValue):
    """The position of the snapshot in the source's binary log, as far as the source knows it."""

    rung: str
    """The snapshot method: `global_read_lock`, `backup_stage`, `table_locks`, `single_transaction`, `none`, `given`.
    """
    refused: tuple[str, ...] = ()
    """The reasons why no preferred method was taken."""
    binlog_file: Optional[str] = None
    binlog_position: Optional[int] = None
    gtid: Optional[str] = None
    writers_waited_ms: Optional[int] = None
    log_server: Optional[str] = None
    """The identity of the server that wrote the binary log."""
    before_snapshot: bool = False
    """Whether the position was read before the snapshot began, because no lock could hold both together."""
    """The milliseconds that writing statements may have waited for the snapshot's lock."""


@dataclass(frozen=True)
class OmittedObject(JsonValue):
    """An object that a clone leaves out, and the reason."""

    object: ObjectRef
    reason: str


@dataclass(frozen=True)
class FidelityIssue(JsonValue):
    """A part of an object that is not the same at the target as at the source."""

    object: ObjectRef
    what: str
    severity: str
    """`note`: the meaning is the same; `warning`: something is lost or changed; `error`: the object is not carried."""
    source: str
    target: str


@dataclass(frozen=True)
class Finding(JsonValue):
    """A result of the preflight checks: the problem and its remedy."""

    severity: str
    """`note`, `warning` or `error`."""
    message: str


@dataclass(frozen=True)
class Column(JsonValue):
    """A column of a table."""

    name: str
    data_type: str
    """The bare type: `varchar`, `bigint`, `enum`."""
    column_type: str
    """The full type: `varchar(20)`, `bigint unsigned`."""
    charset: Optional[str] = None
    collation: Optional[str] = None
    nullable: bool = True
    generated: bool = False
    """Whether it is a generated column. Generated columns are never loaded."""
    stored: bool = False
    """Whether a generated column is stored. Its values are read too, for comparison."""


@dataclass(frozen=True)
class Table(JsonValue):
    """A base table of a catalog."""

    name: str
    engine: str
    columns: tuple[Column, ...]
    history: bool = False
    late_timestamps: tuple[str, ...] = ()
    """The columns that are known to hold a TIMESTAMP after 2038-01-19 03:14:07 UTC."""
    primary_key: tuple[str, ...] = ()
    rows_estimate: int = 0
    data_bytes: int = 0
    index_bytes: int = 0
    create: str = ""

    @property
    def stored_columns(self) -> tuple[Column, ...]:
        """The columns whose values a batch holds, in the order of a row."""
        return tuple(column for column in self.columns if not column.generated or column.stored)


@dataclass(frozen=True)
class Definition(JsonValue):
    """The definition of an object that is not a table, with the session variables of its creation."""

    object: ObjectRef
    create: str
    sql_mode: str = ""
    character_set_client: str = ""
    collation_connection: str = ""
    database_collation: str = ""
    time_zone: str = ""
    state: Optional[str] = None


@dataclass(frozen=True)
class Catalog(JsonValue):
    """The objects of one database."""

    server: Server
    database: Database
    tables: tuple[Table, ...]
    definitions: tuple[Definition, ...] = ()


@dataclass(frozen=True)
class SelectedTable(JsonValue):
    """A table of a selection."""

    name: str
    filter: Optional[str] = None


@dataclass(frozen=True)
class Selection(JsonValue):
    """The objects that a selector chose from a catalog."""

    tables: tuple[SelectedTable, ...]
    objects: tuple[ObjectRef, ...] = ()
    left_out: tuple[OmittedObject, ...] = ()
    rows: bool = True
    schema: bool = True
    whole: bool = False


@dataclass(frozen=True)
class Chunk(JsonValue):
    """A key range of one table, the unit of reading."""

    number: int
    after: Optional[tuple[str, ...]] = None
    until: Optional[tuple[str, ...]] = None


@dataclass(frozen=True)
class TablePlan(JsonValue):
    """The plan of one table."""

    number: int
    table: Table
    filter: Optional[str] = None
    chunk_key: tuple[str, ...] = ()
    chunks: tuple[Chunk, ...] = ()
    position: Optional[Position] = None
    """The position that its rows are of, if an earlier run of a resumed clone read them."""

    @property
    def name(self) -> str:
        """The table's name."""
        return self.table.name


@dataclass(frozen=True)
class JobDescription(JsonValue):
    """What a target records of the job that writes into it."""

    id: str = ""
    source: str = ""
    staging: Optional[str] = None
    """The URL of the staging archive."""
    keeps_staging: bool = False
    fidelity: tuple[FidelityIssue, ...] = ()
    warnings: tuple[str, ...] = ()
    reads_again: bool = False
    """Whether a resume reads all tables again that are not complete."""


@dataclass(frozen=True)
class Plan(JsonValue):
    """The plan of a clone."""

    server: Server
    database: Database
    position: Position
    schema: bool
    tables: tuple[TablePlan, ...]
    definitions: tuple[Definition, ...] = ()
    left_out: tuple[OmittedObject, ...] = ()
    fidelity: tuple[FidelityIssue, ...] = ()
    warnings: tuple[str, ...] = ()
    invalid: tuple[ObjectRef, ...] = ()
    """The views that are invalid at the source."""
    job: JobDescription = JobDescription()
    """The job; without a name before the snapshot."""


@dataclass(frozen=True)
class DifferingRow(JsonValue):
    """A row that differs between source and target."""

    key: str
    place: str
    """`source` or `target`: only there; `both`: with different values."""


@dataclass(frozen=True)
class Difference(JsonValue):
    """A table, or a key range of a table, that differs between source and target."""

    object: ObjectRef
    range: Optional[str]
    what: str
    rows: tuple[DifferingRow, ...] = ()
    more: int = 0

    def __str__(self) -> str:
        """Format as `table orders, id > 5: 4 rows at the source, 3 at the target`."""
        return f"{self.object}{', ' + self.range if self.range else ''}: {self.what}"


@dataclass(frozen=True)
class Verification(JsonValue):
    """The result of comparing the target with what was read."""

    how: str
    tables: int
    chunks: int
    rows: int
    differences: tuple[Difference, ...]
    skipped: tuple[OmittedObject, ...] = ()


@dataclass(frozen=True)
class Comparison(JsonValue):
    """The result of `verify`."""

    source: str
    target: str
    position: Position
    how: str
    tables: int
    chunks: int
    rows: int
    differences: tuple[Difference, ...]
    left_out: tuple[OmittedObject, ...]
    warnings: tuple[str, ...]
    seconds: float
    skipped: tuple[OmittedObject, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether there are no differences."""
        return not self.differences

    def __repr__(self) -> str:
        """Format on one line."""
        found = "equal" if self.equal else f"{len(self.differences)} differences"
        return f"<Comparison of {self.source} with {self.target}: {found}, {self.tables} tables, {self.rows} rows>"

    def _repr_html_(self) -> str:
        rows = [(str(found.object), found.range or "all", found.what) for found in self.differences]
        return _html_table(repr(self), ("object", "keys", "difference"), rows)


@dataclass(frozen=True)
class PlanReport(JsonValue):
    """The result of `plan`: what a clone would do, and the problems that prevent it."""

    source: str
    target: str
    plan: Plan
    fidelity: tuple[FidelityIssue, ...]
    findings: tuple[Finding, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """The problems that prevent the clone; empty if there are none."""
        return tuple(found.message for found in self.findings if found.severity == "error")

    def __repr__(self) -> str:
        """Format on one line."""
        size = f"{len(self.plan.tables)} tables, {len(self.plan.definitions)} other objects"
        return f"<PlanReport of {self.source} into {self.target}: {size}, {len(self.problems)} problems>"

    def _repr_html_(self) -> str:
        tables = (table.table for table in self.plan.tables)
        rows = [(f"table {t.name}", f"about {t.rows_estimate:,}", format_size(t.data_bytes)) for t in tables]
        rows += [(str(definition.object), "", "") for definition in self.plan.definitions]
        found = "".join(f"<li><b>{_escape(f.severity)}</b>: {_escape(f.message)}</li>" for f in self.findings)
        return _html_table(repr(self), ("object", "rows", "size"), rows) + (f"<ul>{found}</ul>" if found else "")


@dataclass(frozen=True)
class ObjectReport(JsonValue):
    """The result of one object."""

    object: ObjectRef
    rows: int
    bytes: int
    seconds: float
    warnings: tuple[str, ...] = ()
    position: Optional[Position] = None
    """The position that the rows of this table are of, if it is not that of the report."""


@dataclass(frozen=True)
class Resumption(JsonValue):
    """What a resumed clone took over, and what it read again."""

    case: str
    """`finished`, `no_row_missing`, `one_moment`, `read_again` or `several_moments`."""
    started: str
    """When the clone began, by the target's clock in UTC."""
    taken_over: tuple[str, ...] = ()
    """The tables that were complete."""
    continued: tuple[str, ...] = ()
    """The tables of which some batches were there."""
    read_again: tuple[str, ...] = ()
    """The tables that were read as a whole in this run."""


@dataclass(frozen=True)
class LogPosition(JsonValue):
    """A place in a source's binary log."""

    server: str
    file: str
    offset: int
    gtids: Optional[str] = None


@dataclass(frozen=True)
class Followed(JsonValue):
    """What was applied of a source's changes until the cut-over."""

    source: str
    target: str
    position: LogPosition
    """The position up to which the target has the source's changes."""
    transactions: int
    """The number of transactions that were applied, from the snapshot on."""
    rows: int
    fidelity: tuple[FidelityIssue, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Report(JsonValue):
    """The result of a clone."""

    source: str
    target: str
    archive: Optional[str]
    """The URL of the archive, if the clone went through one and kept it."""
    server: Server
    database: Database
    position: Position
    objects: tuple[ObjectReport, ...]
    left_out: tuple[OmittedObject, ...]
    fidelity: tuple[FidelityIssue, ...]
    """The differences between source and target; empty for an exact clone."""
    warnings: tuple[str, ...]
    rows: int
    bytes: int
    seconds: float
    verified: Optional[Verification] = None
    resumed: Optional[Resumption] = None
    """What a resumed clone took over from an earlier run."""
    followed: Optional[Followed] = None
    """What was applied after the copy, with the option `follow`."""
    paused_seconds: float = 0.0
    """How many of these seconds the job was paused."""

    def __repr__(self) -> str:
        """Format on one line."""
        size = f"{len(self.objects)} objects, {self.rows:,} rows, {format_size(self.bytes)} in {self.seconds:.1f} s"
        return f"<Report of {self.source} into {self.target}: {size}>"

    def _repr_html_(self) -> str:
        rows = [
            (str(done.object), f"{done.rows:,}", format_size(done.bytes), f"{done.seconds:.2f} s")
            for done in self.objects
        ]
        remarks = [*self.warnings, *(f"{found.object}: {found.what}" for found in self.fidelity)]
        notes = "".join(f"<li>{_escape(note)}</li>" for note in remarks)
        page = _html_table(repr(self), ("object", "rows", "size", "time"), rows)
        return page + (f"<ul>{notes}</ul>" if notes else "")


def format_size(number: float) -> str:
    """Format bytes: `12.3 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def _escape(text: str) -> str:
    return html.escape(text)


def _html_table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{_escape(name)}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{_escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    caption = _escape(caption.strip("<>"))
    return f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
