"""Simulated network links between the coordinator and two regions, with latency, a rate limit and byte counters."""

import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from measure import Cost

SAMPLE_SECONDS = 0.1  # the interval between two samples of the counters


class ByteCounts(NamedTuple):
    """The bytes over the links of both regions, from the coordinator (up) and to it (down)."""

    source_up: int
    source_down: int
    target_up: int
    target_down: int

    def since(self, before: "ByteCounts") -> "ByteCounts":
        """The difference to an earlier count."""
        return ByteCounts(*(now - then for now, then in zip(self, before, strict=True)))


@dataclass(frozen=True)
class LinkTraffic:
    """The traffic of a clone over the links."""

    bytes: ByteCounts
    rate: float  # bytes a second into the target's region while rows flowed there; 0 if none did


class SimulatedLinks:
    """`testkit proxy` in front of the SSH servers of both regions."""

    def __init__(self, testkit: Path, urls: Sequence[str], round_trip: int, rate: int) -> None:
        how = [f"--round-trip={round_trip}", f"--rate={rate}"]
        self._proxy = subprocess.Popen(
            [testkit, "proxy", *how, *urls], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.source, self.target = self._read_reply()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._proxy.communicate()

    def _read_reply(self) -> list[str]:
        assert self._proxy.stdout
        return self._proxy.stdout.readline().split()

    def byte_counts(self) -> ByteCounts:
        """The bytes so far."""
        assert self._proxy.stdin
        self._proxy.stdin.write("\n")
        self._proxy.stdin.flush()
        return ByteCounts(*map(int, self._read_reply()))

    def measure(self, work: Callable[[], Cost]) -> tuple[Cost, LinkTraffic]:
        """Run `work` and measure its traffic."""
        samples = [(time.monotonic(), self.byte_counts())]
        ended = threading.Event()

        def sample() -> None:
            while not ended.wait(SAMPLE_SECONDS):
                samples.append((time.monotonic(), self.byte_counts()))

        sampler = threading.Thread(target=sample)
        sampler.start()
        try:
            cost = work()
        finally:
            ended.set()
            sampler.join()
        samples.append((time.monotonic(), self.byte_counts()))
        return cost, LinkTraffic(samples[-1][1].since(samples[0][1]), _middle_rate(samples))


def _middle_rate(samples: Sequence[tuple[float, ByteCounts]]) -> float:
    """The rate of the middle nine tenths of the bytes into the target's region."""
    first, last = samples[0][1].target_up, samples[-1][1].target_up
    low, high = first + (last - first) * 0.05, first + (last - first) * 0.95
    begin = max(sample for sample in samples if sample[1].target_up <= low)
    end = min(sample for sample in samples if sample[1].target_up >= high)
    seconds = end[0] - begin[0]
    return (end[1].target_up - begin[1].target_up) / seconds if seconds else 0.0
