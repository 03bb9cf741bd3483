"""The lines between the machine that starts a clone and its regions: long, narrow, and counted."""

import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from measure import Cost

LOOK = 0.1  # seconds between two looks at the counters


class Carried(NamedTuple):
    """Bytes over the lines of both regions, from the coordinator (up) and to it (down)."""

    source_up: int
    source_down: int
    target_up: int
    target_down: int

    def since(self, before: "Carried") -> "Carried":
        """What was carried between the two."""
        return Carried(*(now - then for now, then in zip(self, before, strict=True)))


@dataclass(frozen=True)
class Traffic:
    """What a clone sent over the lines."""

    carried: Carried
    flow: float  # bytes a second into the target's region while rows flowed there; 0 if none did


class Lines:
    """`testkit proxy` before the SSH servers of both regions."""

    def __init__(self, testkit: Path, urls: Sequence[str], round_trip: int, rate: int) -> None:
        how = [f"--round-trip={round_trip}", f"--rate={rate}"]
        self._proxy = subprocess.Popen(
            [testkit, "proxy", *how, *urls], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.source, self.target = self._said()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._proxy.communicate()

    def _said(self) -> list[str]:
        assert self._proxy.stdout
        return self._proxy.stdout.readline().split()

    def carried(self) -> Carried:
        """What was carried so far."""
        assert self._proxy.stdin
        self._proxy.stdin.write("\n")
        self._proxy.stdin.flush()
        return Carried(*map(int, self._said()))

    def watched(self, work: Callable[[], Cost]) -> tuple[Cost, Traffic]:
        """Does the work, and tells what it sent over the lines."""
        looks = [(time.monotonic(), self.carried())]
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(LOOK):
                looks.append((time.monotonic(), self.carried()))

        watching = threading.Thread(target=watch)
        watching.start()
        try:
            cost = work()
        finally:
            ended.set()
            watching.join()
        looks.append((time.monotonic(), self.carried()))
        return cost, Traffic(looks[-1][1].since(looks[0][1]), _flow(looks))


def _flow(looks: Sequence[tuple[float, Carried]]) -> float:
    """The rate while the middle nine tenths of what went into the target's region did."""
    first, last = looks[0][1].target_up, looks[-1][1].target_up
    low, high = first + (last - first) * 0.05, first + (last - first) * 0.95
    begin = max(look for look in looks if look[1].target_up <= low)
    end = min(look for look in looks if look[1].target_up >= high)
    seconds = end[0] - begin[0]
    return (end[1].target_up - begin[1].target_up) / seconds if seconds else 0.0
