"""A progress bar of tqdm or rich where one of them is installed, else plain lines on standard error."""

from __future__ import annotations

import sys
from time import monotonic
from typing import Any, Optional, Protocol

from ._events import Event, PausedEvent, PhaseEvent, ProgressEvent, UnpausedEvent
from ._reports import format_size


class ProgressDisplay(Protocol):
    """Displays the progress of a job."""

    def show(self, event: Event) -> None:
        """Show an event."""

    def close(self) -> None:
        """Close the display."""


def create_display(wanted: bool) -> Optional[ProgressDisplay]:
    """Create a display of tqdm, of rich or of plain lines."""
    if not wanted:
        return None
    try:
        from tqdm.auto import tqdm
    except ImportError:
        pass
    else:
        return _TqdmDisplay(tqdm)
    try:
        from rich import progress
    except ImportError:
        return _LineDisplay()
    return _RichDisplay(progress)


class _TqdmDisplay:
    """Shows a tqdm bar for each leg."""

    def __init__(self, tqdm: Any) -> None:
        self._tqdm = tqdm
        self._bars: dict[str, Any] = {}

    def _bar(self, leg: str) -> Any:
        if leg not in self._bars:
            self._bars[leg] = self._tqdm(
                desc=leg, unit="B", unit_scale=True, unit_divisor=1024, position=len(self._bars), leave=True
            )
        return self._bars[leg]

    def show(self, event: Event) -> None:
        if isinstance(event, PhaseEvent):
            self._bar(event.leg).set_postfix_str(event.phase)
        elif isinstance(event, ProgressEvent):
            bar = self._bar(event.leg)
            bar.total = max(event.bytes_total, event.bytes) or None
            bar.update(event.bytes - bar.n)

    def close(self) -> None:
        for bar in self._bars.values():
            bar.close()


class _RichDisplay:
    """Shows a rich line for each leg."""

    def __init__(self, progress: Any) -> None:
        columns = (
            progress.DownloadColumn(True),
            progress.TransferSpeedColumn(),
            progress.TimeRemainingColumn(),
        )
        self._shown = progress.Progress("{task.description}", progress.BarColumn(), *columns)
        self._tasks: dict[str, Any] = {}

    def show(self, event: Event) -> None:
        if not isinstance(event, (PhaseEvent, ProgressEvent)):
            return
        if not self._tasks:
            self._shown.start()
        if event.leg not in self._tasks:
            self._tasks[event.leg] = self._shown.add_task(event.leg, total=None)
        task = self._tasks[event.leg]
        if isinstance(event, PhaseEvent):
            self._shown.update(task, description=f"{event.leg}: {event.phase}")
        else:
            total = max(event.bytes_total, event.bytes) or None
            self._shown.update(task, total=total, completed=event.bytes)

    def close(self) -> None:
        self._shown.stop()


class _LineDisplay:
    """Prints a line for each phase and every five seconds."""

    def __init__(self) -> None:
        self._next = 0.0

    def show(self, event: Event) -> None:
        if isinstance(event, PhaseEvent):
            print(f"{event.leg}: {event.phase}", file=sys.stderr)
        elif isinstance(event, PausedEvent):
            print(f"paused: {event.reason}", file=sys.stderr)
        elif isinstance(event, UnpausedEvent):
            print(f"going on after {event.seconds:.1f} s: {event.reason}", file=sys.stderr)
        elif isinstance(event, ProgressEvent) and monotonic() >= self._next:
            self._next = monotonic() + 5
            share = f" of about {format_size(event.bytes_total)}" if event.bytes_total else ""
            print(f"{event.leg}: {format_size(event.bytes)}{share}, {format_size(event.rate)}/s", file=sys.stderr)

    def close(self) -> None:
        pass
