"""Clones MySQL and MariaDB databases, whole or in part, streaming directly or through Amazon S3.

    >>> import dbgraft
    >>> report = dbgraft.clone("mysql://app@db1/shop", "mysql://app@db2/shop_copy", threads=8)  # doctest: +SKIP
    >>> report.rows  # doctest: +SKIP

`clone`, `plan` and `verify` block; `clone_async`, `plan_async` and `verify_async` are for asyncio; a `CloneJob` has
events and can be paused and cancelled. Options are keywords with the names of the command's flags.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Optional, TypeVar, Union

from ._custom import Sink, Source, catalog_of
from ._errors import (
    AuthenticationError,
    CallbackError,
    CancelledError,
    ChangedError,
    CloneError,
    ConnectionFailedError,
    DataError,
    DifferentError,
    IncompleteError,
    InternalError,
    PermissionDeniedError,
    PreflightError,
    ServerError,
    StorageError,
    UnsupportedError,
    UsageError,
)
from ._events import (
    CutOverRefusedEvent,
    Event,
    FinishedEvent,
    FollowingEvent,
    PausedEvent,
    PhaseEvent,
    ProgressEvent,
    ResumedEvent,
    StartedEvent,
    UnpausedEvent,
    WarningEvent,
)
from ._executable import executable
from ._job import CloneJob, Job, Listener, Selector
from ._native import Batch
from ._native import version as _version
from ._options import Options
from ._plans import (
    Catalog,
    Chunk,
    Column,
    Database,
    Definition,
    FidelityIssue,
    Finding,
    JobDescription,
    LogPosition,
    ObjectRef,
    OmittedObject,
    Plan,
    Position,
    SelectedTable,
    Selection,
    Server,
    Table,
    TablePlan,
)
from ._reports import (
    CaughtUp,
    Comparison,
    Difference,
    DifferingRow,
    Followed,
    ObjectReport,
    PlanReport,
    Report,
    Resumption,
    Verification,
)
from ._rows import Rows, Tables
from ._target import (
    Abandoned,
    Checkpoint,
    FollowRecord,
    TableProgress,
    TargetStatus,
    abandon,
    abandon_async,
    status,
    status_async,
)
from ._values import decode

if TYPE_CHECKING:
    from typing_extensions import Unpack

__version__ = _version()

_AnyJob = TypeVar("_AnyJob", bound="Job[Any]")


class _PlanJob(Job[PlanReport]):
    _method = "plan"
    _result_type = PlanReport


class _VerifyJob(Job[Comparison]):
    _method = "verify"
    _result_type = Comparison


def _create_job(job_type: type[_AnyJob], arguments: dict[str, Any]) -> _AnyJob:
    """Create a job from the arguments of one of the functions below, as `locals()` returns them."""
    options = arguments.pop("options")
    return job_type(**arguments, **options)


def clone(
    source: Union[str, Source],
    target: Union[str, Sink],
    *,
    selector: Optional[Selector] = None,
    on_event: Optional[Listener] = None,
    progress: bool = False,
    source_password: Optional[str] = None,
    target_password: Optional[str] = None,
    archive_passphrase: Optional[str] = None,
    on_question: Optional[Callable[[str], Optional[str]]] = None,
    **options: Unpack[Options],
) -> Report:
    """Clone `source` into `target` and return the report.

    `selector` replaces `include` and `exclude`. `on_event` is called on this thread; an exception in it cancels the
    clone and is raised. `progress=True` shows a progress bar. Ctrl-C cancels the clone and cleans up.
    """
    job = _create_job(CloneJob, locals())
    return job.wait()


async def clone_async(
    source: Union[str, Source],
    target: Union[str, Sink],
    *,
    selector: Optional[Selector] = None,
    on_event: Optional[Listener] = None,
    progress: bool = False,
    source_password: Optional[str] = None,
    target_password: Optional[str] = None,
    archive_passphrase: Optional[str] = None,
    on_question: Optional[Callable[[str], Optional[str]]] = None,
    **options: Unpack[Options],
) -> Report:
    """Clone like `clone`, without blocking the event loop. Cancelling the task cancels the clone and cleans up."""
    job = _create_job(CloneJob, locals())
    return await job


def plan(
    source: Union[str, Source],
    target: Union[str, Sink],
    *,
    selector: Optional[Selector] = None,
    source_password: Optional[str] = None,
    target_password: Optional[str] = None,
    archive_passphrase: Optional[str] = None,
    on_question: Optional[Callable[[str], Optional[str]]] = None,
    **options: Unpack[Options],
) -> PlanReport:
    """Return what a clone would do and all problems that prevent it, without writing anything."""
    job = _create_job(_PlanJob, locals())
    return job.wait()


async def plan_async(
    source: Union[str, Source],
    target: Union[str, Sink],
    *,
    selector: Optional[Selector] = None,
    source_password: Optional[str] = None,
    target_password: Optional[str] = None,
    archive_passphrase: Optional[str] = None,
    on_question: Optional[Callable[[str], Optional[str]]] = None,
    **options: Unpack[Options],
) -> PlanReport:
    """Plan like `plan`, without blocking the event loop."""
    job = _create_job(_PlanJob, locals())
    return await job


def verify(
    source: Union[str, Source],
    target: Union[str, Sink],
    *,
    selector: Optional[Selector] = None,
    on_event: Optional[Listener] = None,
    progress: bool = False,
    source_password: Optional[str] = None,
    target_password: Optional[str] = None,
    archive_passphrase: Optional[str] = None,
    on_question: Optional[Callable[[str], Optional[str]]] = None,
    **options: Unpack[Options],
) -> Comparison:
    """Compare the rows of both ends, by checksums unless `verify="counts"`, without changing either.

    Differences are not an error: they are in the comparison. Its `equal` is true if there are none.
    """
    job = _create_job(_VerifyJob, locals())
    return job.wait()


async def verify_async(
    source: Union[str, Source],
    target: Union[str, Sink],
    *,
    selector: Optional[Selector] = None,
    on_event: Optional[Listener] = None,
    progress: bool = False,
    source_password: Optional[str] = None,
    target_password: Optional[str] = None,
    archive_passphrase: Optional[str] = None,
    on_question: Optional[Callable[[str], Optional[str]]] = None,
    **options: Unpack[Options],
) -> Comparison:
    """Compare like `verify`, without blocking the event loop."""
    job = _create_job(_VerifyJob, locals())
    return await job


__all__ = [
    "Abandoned",
    "AuthenticationError",
    "Batch",
    "CallbackError",
    "CancelledError",
    "Catalog",
    "CaughtUp",
    "ChangedError",
    "Checkpoint",
    "Chunk",
    "CloneError",
    "CloneJob",
    "Column",
    "Comparison",
    "ConnectionFailedError",
    "CutOverRefusedEvent",
    "DataError",
    "Database",
    "Definition",
    "Difference",
    "DifferentError",
    "DifferingRow",
    "Event",
    "FidelityIssue",
    "Finding",
    "FinishedEvent",
    "FollowRecord",
    "Followed",
    "FollowingEvent",
    "IncompleteError",
    "InternalError",
    "Job",
    "JobDescription",
    "LogPosition",
    "ObjectRef",
    "ObjectReport",
    "OmittedObject",
    "Options",
    "PausedEvent",
    "PermissionDeniedError",
    "PhaseEvent",
    "Plan",
    "PlanReport",
    "Position",
    "PreflightError",
    "ProgressEvent",
    "Report",
    "ResumedEvent",
    "Resumption",
    "Rows",
    "SelectedTable",
    "Selection",
    "Server",
    "ServerError",
    "Sink",
    "Source",
    "StartedEvent",
    "StorageError",
    "Table",
    "TablePlan",
    "TableProgress",
    "Tables",
    "TargetStatus",
    "UnpausedEvent",
    "UnsupportedError",
    "UsageError",
    "Verification",
    "WarningEvent",
    "abandon",
    "abandon_async",
    "catalog_of",
    "clone",
    "clone_async",
    "decode",
    "executable",
    "plan",
    "plan_async",
    "status",
    "status_async",
    "verify",
    "verify_async",
]
