"""Clones MySQL and MariaDB databases, whole or in part, streaming directly or through Amazon S3.

    >>> import dbgraft
    >>> report = dbgraft.clone("mysql://app@db1/shop", "mysql://app@db2/shop_copy", threads=8)  # doctest: +SKIP
    >>> report.rows  # doctest: +SKIP

`clone`, `plan` and `verify` wait; `clone_async` and its kin are for asyncio; a `CloneJob` can be watched and cancelled.
Options are keywords, the same as the command's flags.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Optional, Union

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
from ._executable import executable
from ._job import CloneJob, Job, Listener, Selector
from ._model import (
    Catalog,
    Chunk,
    Column,
    Comparison,
    Database,
    Definition,
    Difference,
    DifferingRow,
    Event,
    Fidelity,
    Finding,
    FinishedEvent,
    LeftOut,
    ObjectRef,
    ObjectReport,
    Overview,
    PhaseEvent,
    Plan,
    Position,
    ProgressEvent,
    Report,
    SelectedTable,
    Selection,
    Server,
    StartedEvent,
    Table,
    TablePlan,
    Verification,
    WarningEvent,
)
from ._native import Batch
from ._native import version as _version
from ._options import Options
from ._own import Sink, Source, catalog_of
from ._rows import Rows, Tables
from ._values import decode

if TYPE_CHECKING:
    from typing_extensions import Unpack

__version__ = _version()


class _PlanJob(Job[Overview]):
    _verb = "plan"
    _made = Overview


class _VerifyJob(Job[Comparison]):
    _verb = "verify"
    _made = Comparison


def clone(
    source: Union[str, Source],
    target: Union[str, Sink],
    *,
    selector: Optional[Selector] = None,
    on_event: Optional[Listener] = None,
    progress: bool = False,
    source_password: Optional[str] = None,
    target_password: Optional[str] = None,
    on_question: Optional[Callable[[str], Optional[str]]] = None,
    **options: Unpack[Options],
) -> Report:
    """Clone `source` into `target`, and give the report.

    `selector` chooses objects in the place of `include` and `exclude`. `on_event` is called on this thread; an
    exception in it cancels the clone and is raised. `progress=True` shows a bar. Ctrl-C cancels and cleans up.
    """
    job = CloneJob(
        source,
        target,
        selector=selector,
        on_event=on_event,
        progress=progress,
        source_password=source_password,
        target_password=target_password,
        on_question=on_question,
        **options,
    )
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
    on_question: Optional[Callable[[str], Optional[str]]] = None,
    **options: Unpack[Options],
) -> Report:
    """Do what `clone` does without blocking the event loop; cancelling the task cancels the clone and cleans up."""
    job = CloneJob(
        source,
        target,
        selector=selector,
        on_event=on_event,
        progress=progress,
        source_password=source_password,
        target_password=target_password,
        on_question=on_question,
        **options,
    )
    return await job


def plan(
    source: Union[str, Source],
    target: Union[str, Sink],
    *,
    selector: Optional[Selector] = None,
    source_password: Optional[str] = None,
    target_password: Optional[str] = None,
    on_question: Optional[Callable[[str], Optional[str]]] = None,
    **options: Unpack[Options],
) -> Overview:
    """Show what a clone would do, and every problem that would keep it from being made; write nothing."""
    job = _PlanJob(
        source,
        target,
        selector=selector,
        source_password=source_password,
        target_password=target_password,
        on_question=on_question,
        **options,
    )
    return job.wait()


async def plan_async(
    source: Union[str, Source],
    target: Union[str, Sink],
    *,
    selector: Optional[Selector] = None,
    source_password: Optional[str] = None,
    target_password: Optional[str] = None,
    on_question: Optional[Callable[[str], Optional[str]]] = None,
    **options: Unpack[Options],
) -> Overview:
    """Do what `plan` does without blocking the event loop."""
    job = _PlanJob(
        source,
        target,
        selector=selector,
        source_password=source_password,
        target_password=target_password,
        on_question=on_question,
        **options,
    )
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
    on_question: Optional[Callable[[str], Optional[str]]] = None,
    **options: Unpack[Options],
) -> Comparison:
    """Compare the rows of both ends, by checksums unless `verify="counts"`, and change neither.

    Differences are no error: they are in the comparison, whose `equal` says whether there are none.
    """
    job = _VerifyJob(
        source,
        target,
        selector=selector,
        on_event=on_event,
        progress=progress,
        source_password=source_password,
        target_password=target_password,
        on_question=on_question,
        **options,
    )
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
    on_question: Optional[Callable[[str], Optional[str]]] = None,
    **options: Unpack[Options],
) -> Comparison:
    """Do what `verify` does without blocking the event loop."""
    job = _VerifyJob(
        source,
        target,
        selector=selector,
        on_event=on_event,
        progress=progress,
        source_password=source_password,
        target_password=target_password,
        on_question=on_question,
        **options,
    )
    return await job


__all__ = [
    "AuthenticationError",
    "Batch",
    "CallbackError",
    "CancelledError",
    "Catalog",
    "ChangedError",
    "Chunk",
    "CloneError",
    "CloneJob",
    "Column",
    "Comparison",
    "ConnectionFailedError",
    "DataError",
    "Database",
    "Definition",
    "Difference",
    "DifferentError",
    "DifferingRow",
    "Event",
    "Fidelity",
    "Finding",
    "FinishedEvent",
    "IncompleteError",
    "InternalError",
    "Job",
    "LeftOut",
    "ObjectRef",
    "ObjectReport",
    "Options",
    "Overview",
    "PermissionDeniedError",
    "PhaseEvent",
    "Plan",
    "Position",
    "PreflightError",
    "ProgressEvent",
    "Report",
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
    "Tables",
    "UnsupportedError",
    "UsageError",
    "Verification",
    "WarningEvent",
    "catalog_of",
    "clone",
    "clone_async",
    "decode",
    "executable",
    "plan",
    "plan_async",
    "verify",
    "verify_async",
]
