"""Programs in processes of their own, forked from one that has imported what an extraction needs.

Starting Python and torch anew takes two seconds of a processor; this takes a few tenths, and what
is killed or interrupted is a process all the same.
"""

from __future__ import annotations

import multiprocessing
from multiprocessing.process import BaseProcess
from pathlib import Path

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    ["tsatal.extract.engine", "tsatal.extract.extractor", "tsatal.extract.projection"]
)


def begin(program: str, *arguments: object, cwd: Path) -> BaseProcess:
    """Start a program as `python -c` would, and return its process, which ends with the tests."""
    lines = [
        "import os, sys",
        f"os.chdir({str(cwd)!r})",
        f"sys.argv = {['-c', *map(str, arguments)]!r}",
        program,
    ]
    names = {"__name__": "__main__"}
    process = SERVER.Process(target=exec, args=("\n".join(lines), names), daemon=True)
    process.start()
    return process
