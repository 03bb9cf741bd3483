"""Reports and comparisons: frozen values with the same fields as in Rust, in Node and in `--report`."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Optional

from ._json_value import JsonValue
from ._plans import Database, FidelityIssue, Finding, LogPosition, ObjectRef, OmittedObject, Plan, Position, Server


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
class CaughtUp(JsonValue):
    """The changes that brought tables of several moments to one."""

    start: LogPosition
    """The earliest of the moments."""
    end: LogPosition
    """The moment that all tables are of."""
    transactions: int
    """The number of transactions that were applied, by this run and by earlier ones."""
    rows: int
    """The number of rows that this run has applied."""


@dataclass(frozen=True)
class Resumption(JsonValue):
    """What a resumed clone took over, and what it read again."""

    case: str
    """`finished`, `no_row_missing`, `one_moment`, `read_again`, `several_moments` or `caught_up`."""
    started: str
    """When the clone began, by the target's clock in UTC."""
    taken_over: tuple[str, ...] = ()
    """The tables that were complete."""
    continued: tuple[str, ...] = ()
    """The tables of which some batches were there."""
    read_again: tuple[str, ...] = ()
    """The tables that were read as a whole in this run."""
    caught_up: Optional[CaughtUp] = None
    """What brought all tables to one moment, in the case `caught_up`."""


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
