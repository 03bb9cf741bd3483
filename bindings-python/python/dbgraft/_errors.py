"""One exception class, and a subclass for each kind of error."""

from __future__ import annotations

import json
from typing import Any, Optional

from . import _native
from ._reports import Report


class CloneError(Exception):
    """An error of dbgraft. Its text is one line with the problem and its remedy.

    Raise one in your own `Source` or `Sink` to choose its kind; with `retryable=True` the batch is written, or the
    chunk is read, again.
    """

    kind = "callback"
    """The kind of the error: `usage`, `connection`, `data` and so on, as in Rust and in the README."""

    def __init__(
        self,
        message: str = "",
        *,
        retryable: bool = False,
        code: Optional[int] = None,
        context: Optional[dict[str, str]] = None,
        cause: Optional[str] = None,
        text: Optional[str] = None,
    ) -> None:
        """Create an error; `text` is its full line if it differs from `message`."""
        super().__init__(text or message)
        self.message = message
        """The message without context and cause."""
        self.retryable = retryable
        """Whether a retry may succeed."""
        self.code = code
        """The server's error number (1045: access denied), if a server caused the error."""
        self.context = dict(context or {})
        """The context: `{"table": "orders"}`."""
        self.cause = cause
        """The message of the underlying error."""

    def to_dict(self) -> dict[str, Any]:
        """Return the plain values."""
        names = ("kind", "message", "retryable", "code", "context", "cause")
        return {**{name: getattr(self, name) for name in names}, "text": str(self)}

    def _to_json(self) -> str:
        values = {**self.to_dict(), "context": list(self.context.items())}
        values.pop("text")
        return json.dumps(values)

    def __reduce__(self) -> Any:
        return _rebuild, (type(self), str(self), dict(self.__dict__))


class UsageError(CloneError, ValueError):
    """The request itself is wrong: an unknown option, a malformed URL, a pattern that matches nothing."""

    kind = "usage"


class PreflightError(CloneError):
    """The preflight found a problem, and nothing has been written."""

    kind = "preflight"


class ConnectionFailedError(CloneError):
    """A server or a store cannot be reached, or the connection broke."""

    kind = "connection"


class AuthenticationError(CloneError):
    """The server or the store rejects the credentials."""

    kind = "authentication"


class PermissionDeniedError(CloneError):
    """The account lacks a right."""

    kind = "permission"


class ServerError(CloneError):
    """A server refused a statement."""

    kind = "server"


class StorageError(CloneError):
    """An object store or a directory failed."""

    kind = "storage"


class DataError(CloneError):
    """A value would be lost or changed, so the job was stopped."""

    kind = "data"


class DifferentError(CloneError):
    """The clone was made and differs from what was read. It is kept."""

    kind = "different"
    report: Optional[Report] = None
    """The report of the clone; its `verified` names the differences."""


class IncompleteError(CloneError):
    """The clone was made without some objects that the target refused. It is kept."""

    kind = "incomplete"
    report: Optional[Report] = None
    """The report of the clone; its `fidelity` names the objects."""


class ChangedError(CloneError):
    """The source changed: a table was altered while the clone started."""

    kind = "changed"


class UnsupportedError(CloneError):
    """The source has an object that cannot be cloned."""

    kind = "unsupported"


class CallbackError(CloneError):
    """Your source, sink, selector or listener failed. `__cause__` is its exception."""

    kind = "callback"


class CancelledError(CloneError):
    """The job was cancelled by `cancel()`, and has cleaned up."""

    kind = "cancelled"


class InternalError(CloneError):
    """A bug of dbgraft."""

    kind = "internal"


_KINDS: dict[str, type[CloneError]] = {kind.kind: kind for kind in CloneError.__subclasses__()}


def _rebuild(cls: type[CloneError], text: str, state: dict[str, Any]) -> CloneError:
    error = cls(text)
    error.__dict__.update(state)
    return error


def exception_from(failure: _native.NativeError) -> CloneError:
    """Convert an error of the native module to an exception."""
    text, cause = failure.args
    values: dict[str, Any] = json.loads(text)
    cause_text = values.get("cause")
    error = _KINDS.get(values["kind"], CloneError)(
        values.get("message", ""),
        retryable=values.get("retryable", False),
        code=values.get("code"),
        context=dict(values.get("context", [])),
        cause=cause_text,
        text=values["text"],
    )
    error.kind = values["kind"]
    if isinstance(error, (DifferentError, IncompleteError)) and values.get("report"):
        error.report = Report.from_dict(values["report"])
    if isinstance(cause, BaseException):
        error.__cause__ = cause
    elif cause_text:
        error.__cause__ = Exception(cause_text)
    return error
