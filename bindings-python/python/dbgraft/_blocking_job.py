"""Jobs: configured, started, waited for and cancelled from threads; `_job` adds asyncio."""

from __future__ import annotations

import asyncio
import atexit
import json
import logging
import os
import threading
import weakref
from collections.abc import Iterator
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Generic, Literal, Optional, TypeVar, Union

from . import _native
from ._custom import SelectorAdapter, Sink, SinkAdapter, Source, SourceAdapter
from ._errors import UsageError, exception_from
from ._events import Event, FinishedEvent, PhaseEvent, WarningEvent, read_event
from ._json_value import JsonValue
from ._options import Options, options_to_json
from ._plans import ObjectRef
from ._progress import ProgressDisplay, create_display
from ._reports import Report

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

_log = logging.getLogger("dbgraft")

POLL_SECONDS = 0.1
"""The interval at which a waiting thread checks for signals."""

Listener = Callable[[Event], object]
Selector = Callable[[ObjectRef], bool]
T = TypeVar("T", bound=JsonValue)


class BlockingJob(Generic[T]):
    """A job of the native module: its life cycle, its events, and waiting by blocking a thread."""

    _method = "clone"
    _result_type: type[Any] = Report

    def __init__(
        self,
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
    ) -> None:
        """Describe the job without starting it."""
        self._source = _check_end("source", source, Source)
        self._target = _check_end("target", target, Sink)
        self._selector = selector
        self._on_event = on_event
        self._progress: Optional[ProgressDisplay] = create_display(progress)
        self._passwords = (source_password, target_password)
        self._archive_passphrase = archive_passphrase
        self._on_question = on_question
        self._options: dict[str, Any] = dict(options)
        self._native: Optional[_native.Job] = None
        self._thread: Optional[threading.Thread] = None
        self._listener_error: Optional[BaseException] = None
        self._is_result_taken = False
        self._is_paused = False

    def start(self) -> Self:
        """Start the job in the background. Its listeners are called on a separate thread."""
        self._start_native()
        if self._on_event is not None or self._progress is not None:
            self._thread = threading.Thread(target=self._deliver_events, name="dbgraft events", daemon=True)
            self._thread.start()
        return self

    def _start_native(
        self,
        loop: Optional[asyncio.AbstractEventLoop] = None,
        wake: Optional[Callable[[], object]] = None,
    ) -> _native.Job:
        """Start the native job; it calls `wake` when events are available."""
        if self._native is not None:
            raise UsageError("this job was already started: create another one")
        try:
            self._native = _native.Job(
                self._method,
                SourceAdapter(self._source, loop) if isinstance(self._source, Source) else self._source,
                SinkAdapter(self._target, loop) if isinstance(self._target, Sink) else self._target,
                options_to_json(self._options),
                source_password=self._passwords[0],
                target_password=self._passwords[1],
                archive_passphrase=self._archive_passphrase,
                selector=None if self._selector is None else SelectorAdapter(self._selector),
                question=self._on_question,
                wake=wake,
            )
        except _native.NativeError as failure:
            raise exception_from(failure) from failure.args[1]
        if self._is_paused:
            self._native.pause()
        _running.add(self)
        return self._native

    def cancel(self) -> None:
        """Cancel the job, which ends after it has cleaned up. May be called from any thread."""
        self._is_result_taken = True  # the error of a cancelled job is not reported
        if self._native is not None:
            self._native.cancel()

    def pause(self) -> None:
        """Pause the job: it reads nothing more and writes what it has read. May be called from any thread."""
        self._is_paused = True
        if self._native is not None:
            self._native.pause()

    def cut_over(self, *, verify: Literal["none", "counts", "checksum"] = "none") -> None:
        """Cut over a job that follows: everything that the source has committed until now is applied, and the job ends.

        With `verify="counts"` or `"checksum"` the target is compared before; if something differs, a
        `CutOverRefusedEvent` says what, and the job goes on following. Has no effect before the job runs.
        """
        if self._native is not None:
            try:
                self._native.cut_over(verify)
            except _native.NativeError as failure:
                raise exception_from(failure) from failure.args[1]

    def unpause(self) -> None:
        """Let the job go on, unless `max_load` or `max_lag` pauses it too."""
        self._is_paused = False
        if self._native is not None:
            self._native.unpause()

    @property
    def is_paused(self) -> bool:
        """Whether `pause()` pauses the job."""
        return self._is_paused

    @property
    def done(self) -> bool:
        """Whether the job has ended."""
        return self._native is not None and self._native.ended

    @property
    def dropped_events(self) -> int:
        """The number of events that were dropped because the queue was full."""
        return 0 if self._native is None else self._native.dropped

    def wait(self, timeout: Optional[float] = None) -> T:
        """Wait for the end and return the result. Starts the job if necessary.

        Ctrl-C cancels the job and is raised after the clean-up. After `timeout` seconds raises TimeoutError; the job
        continues.
        """
        native = self._native or self._start_native()
        deadline = None if timeout is None else monotonic() + timeout
        try:
            if self._thread is not None:
                while self._thread.is_alive() and not _is_past(deadline):
                    self._thread.join(POLL_SECONDS)
            else:
                while not self._deliver_some(native) and not _is_past(deadline):
                    pass
        except BaseException:
            self._cancel_and_wait()
            raise
        if (self._thread is not None and self._thread.is_alive()) or not native.ended:
            raise TimeoutError(f"the job has not ended after {timeout} seconds and continues")
        return self._result()

    def _cancel_and_wait(self) -> None:
        """Cancel the job and wait for its clean-up. A second Ctrl-C ends the wait."""
        native = self._native
        if native is None:
            return
        self.cancel()
        try:
            while not native.ended:
                self._next_event(native, POLL_SECONDS)
        except BaseException:
            _running.discard(self)
            raise
        if self._progress is not None:
            self._progress.close()

    def _deliver_some(self, native: _native.Job) -> bool:
        """Wait briefly for an event and deliver all available events. Return whether the job has ended."""
        event = self._next_event(native, POLL_SECONDS)
        while event is not None:
            self._deliver(event)
            event = self._next_event(native, 0)
        return native.ended

    def _deliver_events(self) -> None:
        native = self._native
        assert native is not None
        try:
            while not self._deliver_some(native):
                pass
            while (event := self._next_event(native, 0)) is not None:
                self._deliver(event)
        except BaseException as error:  # raised by wait()
            self._listener_error = error
            self._cancel_and_wait()

    def _next_event(self, native: _native.Job, seconds: float) -> Optional[Event]:
        try:
            text = native.next_event(seconds) if seconds else native.try_event()
        except _native.NativeError as failure:
            raise exception_from(failure) from failure.args[1]
        return None if text is None else read_event(json.loads(text))

    def _deliver(self, event: Event) -> None:
        if isinstance(event, WarningEvent):
            _log.warning("%s", event.message)
        elif isinstance(event, PhaseEvent):
            _log.info("%s: %s", event.leg, event.phase)
        elif isinstance(event, FinishedEvent):
            _log.debug("%s: %s is complete, %d rows", event.leg, event.object, event.rows)
        if self._progress is not None:
            self._progress.show(event)
        if self._on_event is not None:
            self._on_event(event)

    def _result(self) -> T:
        native = self._native
        assert native is not None
        self._is_result_taken = native.ended
        while (event := self._next_event(native, 0)) is not None:
            self._deliver(event)
        if self._progress is not None:
            self._progress.close()
        _running.discard(self)
        if self._listener_error is not None:
            raise self._listener_error
        try:
            text = native.result()
        except _native.NativeError as failure:
            error = exception_from(failure)
            raise error from error.__cause__
        if text is None:
            raise UsageError("this job has not ended yet")
        result: T = self._result_type.from_dict(json.loads(text))
        return result

    def __iter__(self) -> Iterator[Event]:
        """Yield the events until the end. Raises the error of the job after the last event."""
        native = self._native or self._start_native()
        self._check_no_listener_thread()
        ended = False
        try:
            while not ended:
                ended = native.ended
                event = self._next_event(native, 0 if ended else POLL_SECONDS)
                while event is not None:
                    self._deliver(event)
                    yield event
                    event = self._next_event(native, 0)
        except BaseException:
            self._cancel_and_wait()
            raise
        self._result()

    def _check_no_listener_thread(self) -> None:
        if self._thread is not None:
            raise UsageError(
                "the listeners of this job get its events: iterate over a job that was not started by start()"
            )

    def __enter__(self) -> Self:
        """Start the job."""
        if self._native is None:
            self._start_native()
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        """Cancel the job unless it has ended, and wait for its clean-up. Raises an error that was not reported yet."""
        is_unreported = kind is None and self.done and not self._is_result_taken
        self._cancel_and_wait()
        self._leave(is_unreported)

    def _leave(self, is_unreported: bool) -> None:
        _running.discard(self)
        if is_unreported:
            self._result()

    def __repr__(self) -> str:
        """Format on one line, without secrets."""
        state = "new" if self._native is None else "ended" if self.done else "running"
        return f"<{type(self).__name__}: {state}>"


def _check_end(name: str, end: Any, own: type[Any]) -> Any:
    if isinstance(end, (str, own)):
        return end
    raise UsageError(f"the {name} must be a URL or a dbgraft.{own.__name__}, not a {type(end).__name__}")


def _is_past(deadline: Optional[float]) -> bool:
    return deadline is not None and monotonic() >= deadline


_running: weakref.WeakSet[BlockingJob[Any]] = weakref.WeakSet()
_owner = os.getpid()


def _cancel_all() -> None:
    """Cancel running jobs at the end of the program and wait for their clean-up."""
    if os.getpid() != _owner:
        return
    jobs = list(_running)
    for job in jobs:
        job.cancel()
    deadline = monotonic() + 30
    for job in jobs:
        while not job.done and monotonic() < deadline:
            threading.Event().wait(POLL_SECONDS / 10)
        if job._thread is not None:
            job._thread.join(POLL_SECONDS)
    _native.leave()


atexit.register(_cancel_all)
