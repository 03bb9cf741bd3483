"""Jobs with asyncio."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Optional

from . import _native
from ._blocking_job import POLL_SECONDS, BlockingJob, Listener, Selector, T
from ._errors import CancelledError, CloneError
from ._events import Event
from ._reports import Report

if TYPE_CHECKING:
    from typing_extensions import Self


class Job(BlockingJob[T]):
    """The base of `CloneJob` and of the jobs of `plan` and `verify`: one run of the library with a result."""

    _loop: Optional[asyncio.AbstractEventLoop] = None
    _wake_event: Optional[asyncio.Event] = None

    def _start_native_async(self, loop: asyncio.AbstractEventLoop) -> _native.Job:
        self._loop = loop
        wake_event = self._wake_event = asyncio.Event()
        return self._start_native(loop, _waker(loop, wake_event))

    async def wait_async(self) -> T:
        """Wait for the end without blocking the event loop, like `await job`, and return the result.

        Cancelling the task cancels the job; CancelledError is raised after the clean-up.
        """
        async for event in self._events():
            self._deliver(event)
        return self._result()

    def __await__(self) -> Generator[Any, None, T]:
        """Wait for the end and return the result."""
        return self.wait_async().__await__()

    async def _events(self) -> AsyncIterator[Event]:
        loop = asyncio.get_running_loop()
        native = self._native or self._start_native_async(loop)
        if self._loop is not loop or self._wake_event is None:
            async for polled in self._poll_events(native):
                yield polled
            return
        try:
            while True:
                native.arm()
                ended = native.ended
                while (event := self._next_event(native, 0)) is not None:
                    yield event
                if ended:
                    return
                await self._wake_event.wait()
                self._wake_event.clear()
        except BaseException:
            await self._cancel_and_wait_async()
            raise

    async def _poll_events(self, native: _native.Job) -> AsyncIterator[Event]:
        """Yield the events of a job that was started outside of the loop."""
        try:
            while True:
                ended = native.ended and (self._thread is None or not self._thread.is_alive())
                while self._thread is None and (event := self._next_event(native, 0)) is not None:
                    yield event
                if ended:
                    return
                await asyncio.sleep(POLL_SECONDS / 2)
        except BaseException:
            await self._cancel_and_wait_async()
            raise

    async def _cancel_and_wait_async(self) -> None:
        native = self._native
        if native is None:
            return
        self.cancel()
        while not native.ended:
            self._next_event(native, 0)
            await asyncio.sleep(POLL_SECONDS / 10)
        if self._progress is not None:
            self._progress.close()

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Yield the events until the end. Raises the error of the job after the last event."""
        self._check_no_listener_thread()
        events = self._events()
        try:
            async for event in events:
                self._deliver(event)
                yield event
        finally:
            await events.aclose()  # type: ignore[attr-defined]
        self._result()

    async def __aenter__(self) -> Self:
        """Start the job."""
        if self._native is None:
            self._start_native_async(asyncio.get_running_loop())
        return self

    async def __aexit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        """Cancel the job unless it has ended, and wait for its clean-up. Raises an error that was not reported yet."""
        is_unreported = kind is None and self.done and not self._is_result_taken
        await self._cancel_and_wait_async()
        self._leave(is_unreported)


class CloneJob(Job[Report]):
    """A clone as a job: `start()` and `wait()`, `for event in job`, `async for`, `await job`.

    `with` and `async with` start the job; leaving the block before its end cancels the job and cleans up.
    """


def _waker(loop: asyncio.AbstractEventLoop, woken: asyncio.Event) -> Callable[[], object]:
    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(woken.set)

    return wake


__all__ = ["CancelledError", "CloneError", "CloneJob", "Job", "Listener", "Selector"]
