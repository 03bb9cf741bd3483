"""One exception class, and a subclass for each kind of error."""

from __future__ import annotations

import json
from typing import Any, Optional

from . import _model, _native


class CloneError(Exception):
    """Something that dbgraft was asked for could not be done; its text is one line that says what to do.

    Raise one in a `Source` or `Sink` of your own to choose its kind; with `retryable=True` a batch is written, or a
    chunk read, again.
    """

    kind = "callback"
    """What went wrong, coarsely: `usage`, `connection`, `data` and so on, as in Rust and in the README."""

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
        """Make an error of one line; `text` is the line when it says more than `message`."""
        super().__init__(text or message)
        self.message = message
        """What happened, without context and cause."""
        self.retryable = retryable
        """Whether trying the same again may succeed."""
        self.code = code
        """The number that the server gave the error (1045: access denied), if it came from one."""
        self.context = dict(context or {})
        """Where it happened: `{"table": "orders"}`."""
        self.cause = cause
        """The words of the error underneath."""

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        names = ("kind", "message", "retryable", "code", "context", "cause")
        return {**{name: getattr(self, name) for name in names}, "text": str(self)}

    def _told(self) -> str:
        told = {**self.to_dict(), "context": list(self.context.items())}
        told.pop("text")
        return json.dumps(told)

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
    """The server or the store does not accept who we are."""

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
    """A value would have been lost or changed, so the work was stopped."""

    kind = "data"


class DifferentError(CloneError):
    """The clone was made, and was then found different from what was read. Nothing was removed."""

    kind = "different"
    report: Optional[_model.Report] = None
    """The report of the clone; its `verified` names the differences."""


class IncompleteError(CloneError):
    """The clone was made, but the target refused some of its objects. Nothing was removed."""

    kind = "incomplete"
    report: Optional[_model.Report] = None
    """The report of the clone; its `fidelity` names the objects."""


class ChangedError(CloneError):
    """Something changed underneath: a table was altered while the clone started."""

    kind = "changed"


class UnsupportedError(CloneError):
    """The source holds something that cannot be carried."""

    kind = "unsupported"


class CallbackError(CloneError):
    """Code of your own failed: a source, a sink or a selector. `__cause__` is its exception."""

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


def _raised(failure: _native.Failure) -> CloneError:
    """Make the exception of what the native half raised."""
    text, cause = failure.args
    told: dict[str, Any] = json.loads(text)
    words = told.get("cause")
    error = _KINDS.get(told["kind"], CloneError)(
        told.get("message", ""),
        retryable=told.get("retryable", False),
        code=told.get("code"),
        context=dict(told.get("context", [])),
        cause=words,
        text=told["text"],
    )
    error.kind = told["kind"]
    if isinstance(error, (DifferentError, IncompleteError)) and told.get("report"):
        error.report = _model.Report.from_dict(told["report"])
    if isinstance(cause, BaseException):
        error.__cause__ = cause
    elif words:
        error.__cause__ = Exception(words)
    return error
