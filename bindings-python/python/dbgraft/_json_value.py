"""The base of reports and events: frozen values that are read from the JSON of the native module."""

from __future__ import annotations

import copy
from collections.abc import Hashable
from dataclasses import fields
from functools import cache
from typing import Any, Optional, TypeVar, Union, get_args, get_origin, get_type_hints

_Self = TypeVar("_Self", bound="JsonValue")


class JsonValue:
    """A frozen value that is read from JSON and converts to plain values by `to_dict()`."""

    @classmethod
    def from_dict(cls: type[_Self], values: dict[str, Any]) -> _Self:
        """Create a value from the result of `to_dict()`. Unknown names are kept for `to_dict()` only."""
        kind: Any = cls
        hints = _hints(kind)
        known = {name: _read(hints[name], item) for name, item in values.items() if name in hints}
        value = cls(**known)
        object.__setattr__(value, "_values", values)
        return value

    def to_dict(self) -> dict[str, Any]:
        """Return the plain values, the same as in a report file."""
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
    if isinstance(hint, type) and issubclass(hint, JsonValue):
        return hint.from_dict(value)
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, JsonValue):
        return value.to_dict()
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
