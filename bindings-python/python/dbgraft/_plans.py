"""What a source holds and what a clone copies of it: frozen values with the same fields as in Rust and in Node."""

from __future__ import annotations

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
class LogPosition(JsonValue):
    """A place in a source's binary log."""

    server: str
    file: str
    offset: int
    gtids: Optional[str] = None
    prepared_since: Optional[LogPosition] = None
    """The place before the first XA transaction that is prepared here, and neither committed nor rolled back."""
    prepared_changes_since: Optional[LogPosition] = None
    """The same for the first of those that changed followed tables, or may have."""


@dataclass(frozen=True)
class Position(JsonValue):
    """The position of the snapshot in the source's binary log, as far as the source knows it."""

    rung: str
    """The snapshot method: `global_read_lock`, `backup_stage`, `table_locks`, `unchanged_log`,
    `single_transaction`, `none`, `given`.
    """
    refused: tuple[str, ...] = ()
    """The reasons why no preferred method was taken."""
    binlog_file: Optional[str] = None
    binlog_position: Optional[int] = None
    gtid: Optional[str] = None
    writers_waited_ms: Optional[int] = None
    """The milliseconds that writing statements may have waited for the snapshot's lock."""
    log_server: Optional[str] = None
    """The identity of the server that wrote the binary log."""
    before_snapshot: bool = False
    """Whether the position was read before the snapshot began, because no lock could hold both together."""
    prepared_since: Optional[LogPosition] = None
    """An earlier place in the log, if the source is followed.

    XA transactions that were prepared since may be open in the snapshot.
    """


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
    catch_up: str = "none"
    """Whether a resume brings the tables to one moment: `none`, `pending` or `ended`."""


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
