"""The options of a clone, with the same names as in Rust and on the command line."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Optional, TypedDict, Union

from ._errors import UsageError
from ._executable import executable

_Path = Union[str, "os.PathLike[str]"]


class Options(TypedDict, total=False):
    """The options of `clone`, `plan`, `verify` and `CloneJob` as keywords; the README describes each."""

    via: Optional[str]
    keep_archive: bool
    encrypt: Optional[str]
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
    max_load: Optional[int]
    max_lag: Optional[Union[int, str]]
    replica: Optional[str]
    skip_binlog: bool
    all_or_nothing: bool
    lock_wait: Union[int, str]
    lock_guard: Union[int, str]
    no_consistency: bool
    resume: bool
    follow: bool
    on_ddl: Literal["stop", "apply"]


def options_to_json(options: Mapping[str, Any]) -> str:
    """Serialize the options for the native module, which checks them. The default agent binary is the package's."""
    values = dict(options)
    if values.get("agent_binary") is None and (values.get("source_agent") or values.get("target_agent")):
        values["agent_binary"] = executable()
    try:
        return json.dumps(values, default=_plain)
    except (TypeError, ValueError) as error:
        raise UsageError(f"an option has a value of an unsupported type: {error}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)) or hasattr(value, "__iter__"):
        return list(value)
    raise TypeError(f"{type(value).__name__} is not a type of an option")
