"""The native half of dbgraft."""

from collections.abc import Iterator
from typing import Any, Callable, Optional, final

__all__ = [
    "Batch",
    "BatchRows",
    "Job",
    "NativeError",
    "catalog_of",
    "default_options",
    "is_running",
    "leave",
    "option_names",
    "plan_of",
    "run_target_job",
    "version",
]

class NativeError(Exception): ...

@final
class Batch:
    """Whole rows of one chunk of a table, as the text that LOAD DATA takes.

    Iterating gives each row as a tuple of bytes, with None for NULL.
    """

    def __new__(cls, text: bytes) -> Batch: ...
    @property
    def table(self) -> int:
        """The number of the table in the plan."""
    @property
    def chunk(self) -> int:
        """The number of the chunk in its table."""
    @property
    def batch(self) -> int:
        """The number of the batch in its chunk."""
    @property
    def rows(self) -> int:
        """How many rows."""
    @property
    def data(self) -> bytes:
        """The rows as text."""
    @property
    def digest(self) -> str:
        """The digest of the rows: their number, and the sum of their hashes."""
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[tuple[Optional[bytes], ...]]: ...

@final
class BatchRows:
    def __iter__(self) -> BatchRows: ...
    def __next__(self) -> tuple[Optional[bytes], ...]: ...

@final
class Job:
    def __new__(
        cls,
        method: str,
        source: Any,
        target: Any,
        options: str,
        *,
        source_password: Optional[str],
        target_password: Optional[str],
        archive_passphrase: Optional[str],
        selector: Any,
        question: Optional[Callable[[str], Optional[str]]],
        wake: Optional[Callable[[], object]],
    ) -> Job: ...
    def next_event(self, seconds: float) -> Optional[str]: ...
    def try_event(self) -> Optional[str]: ...
    def arm(self) -> None: ...
    @property
    def ended(self) -> bool: ...
    @property
    def dropped(self) -> int: ...
    def result(self) -> Optional[str]: ...
    def pause(self) -> None: ...
    def cut_over(self, verify: str) -> None: ...
    def unpause(self) -> None: ...
    def cancel(self) -> None: ...

def option_names() -> list[str]: ...
def default_options() -> str: ...
def run_target_job(
    verb: str, target: str, options: str, *, password: Optional[str], archive_passphrase: Optional[str]
) -> str:
    """Run `status` or `abandon` on a target, and return the result as JSON. Blocks this thread only."""

def version() -> str: ...
def catalog_of(tables: list[tuple[str, list[tuple[str, str]], list[str], int]]) -> str: ...
def plan_of(catalog: str, selection: str) -> str: ...
def is_running() -> bool: ...
def leave() -> None: ...
