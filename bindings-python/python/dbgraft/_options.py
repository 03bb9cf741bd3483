"""The options of a clone, under the names that they have everywhere."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Optional, TypedDict, Union

from ._errors import UsageError
from ._executable import executable

_Path = Union[str, "os.PathLike[str]"]


class Options(TypedDict, total=False):
    """What may be said to `clone`, `plan`, `verify` and `CloneJob` by keywords; the README says what each means."""

    via: Optional[str]
    keep_archive: bool
    source_tunnel: Optional[str]
    target_tunnel: Optional[str]
    source_agent: Optional[str]
    target_agent: Optional[str]
    agent_binary: Optional[_Path]
    agent_credentials: Literal["presigned", "inherit"]
    insecure_accept_any_host_key: bool
    include: Union[str, Sequence[str]]
    exclude: Union[str, Sequence[str]]
    where: Mapping[str, str]
    triggers: Optional[bool]
    routines: Optional[bool]
    events: Optional[bool]
    schema_only: bool
    data_only: bool
    if_exists: Literal["fail", "drop", "truncate", "skip"]
    recreate_database: bool
    definer: str
    on_unsupported: Literal["refuse", "skip", "degrade"]
    verify: Literal["none", "counts", "checksum"]
    list_rows: bool
    threads: int
    memory: Union[int, str]
    max_rate: Optional[Union[int, str]]
    skip_binlog: bool
    all_or_nothing: bool
    lock_wait: Union[int, str]
    lock_guard: Union[int, str]
    no_consistency: bool


def as_json(options: Mapping[str, Any]) -> str:
    """Write the options for the native half, which checks them; an agent gets the package's executable."""
    given = dict(options)
    if given.get("agent_binary") is None and (given.get("source_agent") or given.get("target_agent")):
        given["agent_binary"] = executable()
    try:
        return json.dumps(given, default=_plain)
    except (TypeError, ValueError) as error:
        raise UsageError(f"an option has a value of a type that no option has: {error}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)) or hasattr(value, "__iter__"):
        return list(value)
    raise TypeError(f"{type(value).__name__} is none of them")
