"""What a target knows of a clone into it, and the removal of what a killed one left."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

from . import _native
from ._errors import exception_from
from ._json_value import JsonValue
from ._options import Options, options_to_json
from ._plans import LogPosition

if TYPE_CHECKING:
    from typing_extensions import Unpack


@dataclass(frozen=True)
class TableProgress(JsonValue):
    """How far a clone has come with one table."""

    table: int
    name: str
    rows: int
    bytes: int
    complete: bool
    """Whether the table has all rows and indexes."""


@dataclass(frozen=True)
class Checkpoint(JsonValue):
    """How far the changes of a source are applied."""

    applied: LogPosition
    """Every transaction that was committed up to here is applied."""
    transactions: int
    """The number of transactions up to there, from the snapshot on."""
    lag_ms: int
    """How far the target was behind when this was written."""
    lag_bytes: Optional[int]
    """The bytes of log that the source had written after `applied` when it was last looked at; None if unknown."""
    written_at_ms: int


@dataclass(frozen=True)
class FollowRecord(JsonValue):
    """What a target records of following."""

    checkpoint: Checkpoint
    is_cutting_over: bool


@dataclass(frozen=True)
class TargetStatus(JsonValue):
    """What a target knows of a clone into it."""

    target: str
    state: str
    """`none`, `running`, `dead`, `following`, `not_following`, `unfinished`, `damaged` or `finished`."""
    message: str
    """The state in one line, with what can be done."""
    source: Optional[str]
    started: Optional[str]
    """When the clone began, by the target's clock in UTC."""
    dbgraft: Optional[str]
    staging: Optional[str]
    """The URL of the staging archive."""
    last_write_age: Optional[int]
    """How many seconds ago the newest object of an unfinished archive was stored."""
    complete: int
    """The number of tables that are complete."""
    rows: int
    bytes: int
    rows_total: int
    """The estimated number of all rows."""
    bytes_total: int
    tables: tuple[TableProgress, ...] = ()
    following: Optional[FollowRecord] = None
    """What is applied of the source's changes, if the clone follows them."""


@dataclass(frozen=True)
class Abandoned(JsonValue):
    """What `abandon` has removed."""

    target: str
    source: Optional[str]
    """The source's URL; None if there was no clone to abandon."""
    staging: Optional[str]
    """The URL of the staging archive that was removed."""
    message: str


def _run(
    verb: str, target: str, target_password: Optional[str], archive_passphrase: Optional[str], options: dict[str, Any]
) -> dict[str, Any]:
    secrets = {"password": target_password, "archive_passphrase": archive_passphrase}
    try:
        result: dict[str, Any] = json.loads(_native.run_target_job(verb, target, options_to_json(options), **secrets))
    except _native.NativeError as error:
        raise exception_from(error) from None
    return result


def status(
    target: str,
    *,
    target_password: Optional[str] = None,
    archive_passphrase: Optional[str] = None,
    **options: Unpack[Options],
) -> TargetStatus:
    """Return what the target knows of a clone into it: how far it is, or that it was killed. Changes nothing."""
    return TargetStatus.from_dict(_run("status", target, target_password, archive_passphrase, dict(options)))


async def status_async(
    target: str,
    *,
    target_password: Optional[str] = None,
    archive_passphrase: Optional[str] = None,
    **options: Unpack[Options],
) -> TargetStatus:
    """Look like `status`, without blocking the event loop."""
    secrets = (target_password, archive_passphrase)
    return TargetStatus.from_dict(await asyncio.to_thread(_run, "status", target, *secrets, dict(options)))


def abandon(
    target: str,
    *,
    target_password: Optional[str] = None,
    archive_passphrase: Optional[str] = None,
    **options: Unpack[Options],
) -> Abandoned:
    """Remove what a killed clone has left in the target, its staging archive too. What was there before stays."""
    return Abandoned.from_dict(_run("abandon", target, target_password, archive_passphrase, dict(options)))


async def abandon_async(
    target: str,
    *,
    target_password: Optional[str] = None,
    archive_passphrase: Optional[str] = None,
    **options: Unpack[Options],
) -> Abandoned:
    """Remove like `abandon`, without blocking the event loop."""
    secrets = (target_password, archive_passphrase)
    return Abandoned.from_dict(await asyncio.to_thread(_run, "abandon", target, *secrets, dict(options)))
