"""Where the executable is that the package brings."""

from __future__ import annotations

import os

from ._errors import UsageError


def executable() -> str:
    """Give the path of the `dbgraft` executable, which is also what a host gets for an agent."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bin", "dbgraft")
    if not os.access(path, os.X_OK):
        raise UsageError(
            f"this package came without its executable ({path}): install the wheel that `make wheel` builds"
        )
    return path
