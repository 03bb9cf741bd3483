"""Measures the cost of processes: wall time, CPU time, peak memory."""

import os
import re
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
SAMPLE_SECONDS = 0.02  # the interval between two samples of the memory


@dataclass(frozen=True)
class Cost:
    """The cost of a pipeline, or of several in sequence."""

    wall: float  # seconds
    cpu: float  # seconds, user and system, of all its processes
    peak: int  # bytes: the sum of the processes' own peaks
    largest: int  # bytes: the peak of the largest process

    def plus(self, other: "Cost") -> "Cost":
        """The cost of both in sequence."""
        peak, largest = max(self.peak, other.peak), max(self.largest, other.largest)
        return Cost(self.wall + other.wall, self.cpu + other.cpu, peak, largest)


def pipeline(*commands: Sequence[str], environment: Mapping[str, str]) -> Cost:
    """Run a pipeline of commands and fail if one of them fails."""
    started = time.monotonic()
    processes: list[subprocess.Popen[bytes]] = []
    for command in commands:
        last = len(processes) + 1 == len(commands)
        before = processes[-1].stdout if processes else subprocess.DEVNULL
        after = subprocess.DEVNULL if last else subprocess.PIPE
        processes.append(subprocess.Popen(command, stdin=before, stdout=after, env=os.environ | environment))
        if processes[:-1] and (handed_on := processes[-2].stdout):
            handed_on.close()
    peaks = _PeakSampler([process.pid for process in processes])
    cpu, failed = 0.0, []
    for command, process in zip(commands, processes, strict=True):
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        cpu += usage.ru_utime + usage.ru_stime
        if process.returncode:
            failed.append(f"{command[0]} ended with {process.returncode}")
    wall = time.monotonic() - started
    memory = peaks.stop()
    if failed:
        raise RuntimeError("; ".join(failed))
    return Cost(wall, cpu, sum(memory), max(memory))


def server_cpu(pid: int) -> float:
    """Return the CPU seconds of a running server so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


class _PeakSampler:
    """Samples the peak memory of processes.

    ru_maxrss is unusable: it includes the memory of the parent at the fork.
    """

    def __init__(self, pids: Sequence[int]) -> None:
        self._peaks = dict.fromkeys(pids, 0)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            for pid, known in self._peaks.items():
                self._peaks[pid] = max(known, _peak(pid))

    def stop(self) -> list[int]:
        """Stop sampling and return the peak of each process in bytes."""
        self._ended.set()
        self._thread.join()
        return list(self._peaks.values())


def _peak(pid: int) -> int:
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0
