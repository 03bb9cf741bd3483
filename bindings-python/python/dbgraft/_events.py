"""The events of a running job: frozen values with the same fields as in Rust and in Node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

from ._json_value import JsonValue
from ._plans import ObjectRef


@dataclass(frozen=True)
class Event(JsonValue):
    """An event of a running job. Each kind has a subclass, and `event` is the name of the kind."""

    event: str


@dataclass(frozen=True)
class PhaseEvent(Event):
    """A phase begins."""

    leg: str
    """`clone` for a direct clone, `export` and `import` for a clone through an archive, `verify` for a comparison."""
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
    """The progress of a leg; several times a second while rows are copied. Totals are estimates at first."""

    leg: str
    phase: str
    rows: int
    bytes: int
    rows_total: int
    bytes_total: int
    rate: float
    """The bytes per second over the last five seconds."""
    elapsed: float
    """The seconds since the leg began."""
    eta: Optional[float]
    """The estimated remaining seconds; None while the rate is 0."""


@dataclass(frozen=True)
class FollowingEvent(Event):
    """The progress of following; twice a second."""

    position: str
    """The position in the source's log up to which everything is applied: `binlog.000012:1234`."""
    lag_seconds: float
    """The seconds since the last applied commit at the source; 0 if everything is applied."""
    lag_bytes: Optional[int]
    """The bytes of log that the source has written after `position`, as of the last seconds; None if unknown."""
    transactions: int
    """The number of transactions that are applied, from the snapshot on."""
    rows: int
    rows_per_second: float


@dataclass(frozen=True)
class CutOverRefusedEvent(Event):
    """The target is not cut over, because the comparison before has found differences. Following goes on."""

    differences: list[str]


@dataclass(frozen=True)
class ResumedEvent(Event):
    """How a clone is resumed."""

    message: str


@dataclass(frozen=True)
class PausedEvent(Event):
    """The job is paused: it reads nothing more, and writes what it has read."""

    reason: str
    """`user`, or which server is too busy: `load of the source 130 > 100`, `replica is 12 s behind`."""


@dataclass(frozen=True)
class UnpausedEvent(Event):
    """The job goes on."""

    reason: str
    """The reason of the pause."""
    seconds: float
    """The duration of the pause."""


@dataclass(frozen=True)
class WarningEvent(Event):
    """A warning, which the report repeats."""

    message: str


_EVENTS: dict[str, type[Event]] = {
    "phase": PhaseEvent,
    "started": StartedEvent,
    "finished": FinishedEvent,
    "progress": ProgressEvent,
    "following": FollowingEvent,
    "cut_over_refused": CutOverRefusedEvent,
    "resumed": ResumedEvent,
    "paused": PausedEvent,
    "unpaused": UnpausedEvent,
    "warning": WarningEvent,
}


def read_event(values: dict[str, Any]) -> Event:
    """Create an event from its JSON."""
    return _EVENTS.get(values["event"], Event).from_dict(values)
