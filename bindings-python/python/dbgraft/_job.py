"""Jobs: started, watched, waited for and cancelled, from plain code and from asyncio."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import logging
import os
import threading
import weakref
from collections.abc import AsyncIterator, Generator, Iterator
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Generic, Optional, TypeVar, Union

from . import _native
from ._errors import CancelledError, CloneError, UsageError, _raised
from ._model import Event, FinishedEvent, ObjectRef, PhaseEvent, Report, Value, WarningEvent, read_event
from ._options import Options, as_json
from ._own import Sink, Source, _OwnSelector, _OwnSink, _OwnSource
from ._progress import Progress, progress_of

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

_log = logging.getLogger("dbgraft")

_SLICE = 0.1
"""Seconds for which Python hears nothing of signals while a job is waited for."""

Listener = Callable[[Event], object]
Selector = Callable[[ObjectRef], bool]
T = TypeVar("T", bound=Value)


class Job(Generic[T]):
    """What `CloneJob` and the functions have in common: one run of the library, and what comes out of it."""

    _verb = "clone"
    _made: type[Any] = Report

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
        on_question: Optional[Callable[[str], Optional[str]]] = None,
        **options: Unpack[Options],
    ) -> None:
        """Describe the job; nothing happens before it is started."""
        self._source = _end("source", source, Source)
        self._target = _end("target", target, Sink)
        self._selector = selector
        self._on_event = on_event
        self._progress: Optional[Progress] = progress_of(progress)
        self._passwords = (source_password, target_password)
        self._on_question = on_question
        self._options: dict[str, Any] = dict(options)
        self._native: Optional[_native.Job] = None
        self._woken: Optional[asyncio.Event] = None
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._thread: Optional[threading.Thread] = None
        self._broken: Optional[BaseException] = None
        self._collected = False

    # Starting and stopping

    def start(self) -> Self:
        """Start it; it works while you do something else. Its listeners are then called on a thread of their own."""
        self._begin(None)
        if self._on_event is not None or self._progress is not None:
            self._thread = threading.Thread(target=self._hear_all, name="dbgraft events", daemon=True)
            self._thread.start()
        return self

    def _begin(self, loop: Optional[asyncio.AbstractEventLoop]) -> _native.Job:
        if self._native is not None:
            raise UsageError("this job was started already: make another one")
        self._loop = loop
        wake: Optional[Callable[[], object]] = None
        if loop is not None:
            woken = self._woken = asyncio.Event()
            wake = _waker(loop, woken)
        try:
            self._native = _native.Job(
                self._verb,
                _OwnSource(self._source, loop) if isinstance(self._source, Source) else self._source,
                _OwnSink(self._target, loop) if isinstance(self._target, Sink) else self._target,
                as_json(self._options),
                source_password=self._passwords[0],
                target_password=self._passwords[1],
                selector=None if self._selector is None else _OwnSelector(self._selector),
                question=self._on_question,
                wake=wake,
            )
        except _native.Failure as failure:
            raise _raised(failure) from failure.args[1]
        _running.add(self)
        return self._native

    def cancel(self) -> None:
        """Ask it to stop; it ends when all that it made is removed. May be called from any thread."""
        self._collected = True  # who cancels it does not ask what becomes of it
        if self._native is not None:
            self._native.cancel()

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._native is not None and self._native.ended

    @property
    def dropped_events(self) -> int:
        """How many events were lost because nobody fetched them; older progress that a newer one replaces aside."""
        return 0 if self._native is None else self._native.dropped

    # Waiting

    def wait(self, timeout: Optional[float] = None) -> T:
        """Wait for the end and give what came out of it; starts the job if that was not done.

        Ctrl-C cancels the job, and is raised when all is cleaned up. After `timeout` seconds a TimeoutError is raised
        and the job goes on.
        """
        native = self._native or self._begin(None)
        until = None if timeout is None else monotonic() + timeout
        try:
            if self._thread is not None:
                while self._thread.is_alive() and not _passed(until):
                    self._thread.join(_SLICE)
            else:
                while not self._hear_some(native) and not _passed(until):
                    pass
        except BaseException:
            self._stop()
            raise
        if (self._thread is not None and self._thread.is_alive()) or not native.ended:
            raise TimeoutError(f"the job has not ended after {timeout} seconds; it goes on")
        return self._result()

    def _stop(self) -> None:
        """Cancel it and wait until it has cleaned up; a second Ctrl-C ends the waiting."""
        native = self._native
        if native is None:
            return
        self.cancel()
        try:
            while not native.ended:
                self._next(native, _SLICE)
        except BaseException:
            _running.discard(self)
            raise
        if self._progress is not None:
            self._progress.close()

    def _hear_some(self, native: _native.Job) -> bool:
        """Wait a little for an event, and pass on all that are there; whether it was the last."""
        event = self._next(native, _SLICE)
        while event is not None:
            self._hear(event)
            event = self._next(native, 0)
        return native.ended

    def _hear_all(self) -> None:
        native = self._native
        assert native is not None
        try:
            while not self._hear_some(native):
                pass
            while (event := self._next(native, 0)) is not None:
                self._hear(event)
        except BaseException as error:  # it is raised where the job is waited for
            self._broken = error
            self._stop()

    def _next(self, native: _native.Job, seconds: float) -> Optional[Event]:
        try:
            text = native.next_event(seconds) if seconds else native.try_event()
        except _native.Failure as failure:
            raise _raised(failure) from failure.args[1]
        return None if text is None else read_event(json.loads(text))

    def _hear(self, event: Event) -> None:
        if isinstance(event, WarningEvent):
            _log.warning("%s", event.message)
        elif isinstance(event, PhaseEvent):
            _log.info("%s: %s", event.leg, event.phase)
        elif isinstance(event, FinishedEvent):
            _log.debug("%s: %s is complete, %d rows", event.leg, event.object, event.rows)
        if self._progress is not None:
            self._progress.hear(event)
        if self._on_event is not None:
            self._on_event(event)

    def _result(self) -> T:
        native = self._native
        assert native is not None
        self._collected = native.ended
        while (event := self._next(native, 0)) is not None:
            self._hear(event)
        if self._progress is not None:
            self._progress.close()
        _running.discard(self)
        if self._broken is not None:
            raise self._broken
        try:
            text = native.result()
        except _native.Failure as failure:
            error = _raised(failure)
            raise error from error.__cause__
        if text is None:
            raise UsageError("this job has not ended yet")
        made: T = self._made.from_dict(json.loads(text))
        return made

    # With asyncio

    async def wait_async(self) -> T:
        """Wait for the end without blocking the event loop; `await job` does the same.

        When the task is cancelled the job is, and CancelledError is raised when all is cleaned up.
        """
        async for event in self._events():
            self._hear(event)
        return self._result()

    def __await__(self) -> Generator[Any, None, T]:
        """Wait for the end."""
        return self.wait_async().__await__()

    async def _events(self) -> AsyncIterator[Event]:
        loop = asyncio.get_running_loop()
        native = self._native or self._begin(loop)
        if self._loop is not loop or self._woken is None:
            async for polled in self._polled(native):
                yield polled
            return
        try:
            while True:
                native.arm()
                ended = native.ended
                while (event := self._next(native, 0)) is not None:
                    yield event
                if ended:
                    return
                await self._woken.wait()
                self._woken.clear()
        except BaseException:
            await self._stop_async()
            raise

    async def _polled(self, native: _native.Job) -> AsyncIterator[Event]:
        """Give the events of a job that was started elsewhere."""
        try:
            while True:
                ended = native.ended and (self._thread is None or not self._thread.is_alive())
                while self._thread is None and (event := self._next(native, 0)) is not None:
                    yield event
                if ended:
                    return
                await asyncio.sleep(_SLICE / 2)
        except BaseException:
            await self._stop_async()
            raise

    async def _stop_async(self) -> None:
        native = self._native
        if native is None:
            return
        self.cancel()
        while not native.ended:
            self._next(native, 0)
            await asyncio.sleep(_SLICE / 10)
        if self._progress is not None:
            self._progress.close()

    # As a stream of events, and in `with`

    def __iter__(self) -> Iterator[Event]:
        """Give the events until the end; an error of the job is raised after the last one."""
        native = self._native or self._begin(None)
        self._check_listener()
        ended = False
        try:
            while not ended:
                ended = native.ended
                event = self._next(native, 0 if ended else _SLICE)
                while event is not None:
                    self._hear(event)
                    yield event
                    event = self._next(native, 0)
        except BaseException:
            self._stop()
            raise
        self._result()

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Give the events until the end; an error of the job is raised after the last one."""
        self._check_listener()
        events = self._events()
        try:
            async for event in events:
                self._hear(event)
                yield event
        finally:
            await events.aclose()  # type: ignore[attr-defined]
        self._result()

    def _check_listener(self) -> None:
        if self._thread is not None:
            raise UsageError(
                "the events of this job go to its listeners: iterate over a job that start() did not start"
            )

    def __enter__(self) -> Self:
        """Start it."""
        if self._native is None:
            self._begin(None)
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        """Cancel it, unless it has ended, and wait until it has cleaned up. An error that nobody heard of is raised."""
        unheard = kind is None and self.done and not self._collected
        self._stop()
        self._left(unheard)

    async def __aenter__(self) -> Self:
        """Start it."""
        if self._native is None:
            self._begin(asyncio.get_running_loop())
        return self

    async def __aexit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        """Cancel it, unless it has ended, and wait until it has cleaned up. An error that nobody heard of is raised."""
        unheard = kind is None and self.done and not self._collected
        await self._stop_async()
        self._left(unheard)

    def _left(self, unheard: bool) -> None:
        _running.discard(self)
        if unheard:
            self._result()

    def __repr__(self) -> str:
        """One line, without secrets."""
        state = "new" if self._native is None else "ended" if self.done else "running"
        return f"<{type(self).__name__}: {state}>"


class CloneJob(Job[Report]):
    """A clone that can be watched and cancelled: `start()` and `wait()`, `for event in job`, `async for`, `await job`.

    `with` and `async with` start it; leaving them before its end cancels it and cleans up.
    """


def _end(name: str, end: Any, own: type[Any]) -> Any:
    if isinstance(end, (str, own)):
        return end
    raise UsageError(f"the {name} is a URL or a dbgraft.{own.__name__}, and not a {type(end).__name__}")


def _passed(until: Optional[float]) -> bool:
    return until is not None and monotonic() >= until


def _waker(loop: asyncio.AbstractEventLoop, woken: asyncio.Event) -> Callable[[], object]:
    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits
            loop.call_soon_threadsafe(woken.set)

    return wake


_running: weakref.WeakSet[Job[Any]] = weakref.WeakSet()
_owner = os.getpid()


def _end_all() -> None:
    """Leave nothing behind when the program ends while jobs run."""
    if os.getpid() != _owner:
        return
    jobs = list(_running)
    for job in jobs:
        job.cancel()
    until = monotonic() + 30
    for job in jobs:
        while not job.done and monotonic() < until:
            threading.Event().wait(_SLICE / 10)
        if job._thread is not None:
            job._thread.join(_SLICE)
    _native.leave()


atexit.register(_end_all)

__all__ = ["CancelledError", "CloneError", "CloneJob", "Job", "Listener", "Selector"]
