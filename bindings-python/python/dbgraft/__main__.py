"""The command: `python -m dbgraft` and `dbgraft` are the executable that the package brings."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from ._executable import executable


def main() -> NoReturn:
    """Become the executable: signals, standard streams and the exit code are its own."""
    path = executable()
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(path, ["dbgraft", *sys.argv[1:]])


if __name__ == "__main__":
    main()
