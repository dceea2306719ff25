"""Run the command line, as `tsatal` and as `python -m tsatal`."""

from __future__ import annotations

import atexit
import os
import signal
import sys


def run() -> None:
    """Run the command line; a signal while it is loaded or taken apart ends it quietly, too."""
    status = 0

    def stop(number: int, frame: object) -> None:
        nonlocal status
        status = 128 + number
        raise KeyboardInterrupt

    def leave(number: int, frame: object) -> None:
        os._exit(status)  # all is done and said

    def ignore() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)

    atexit.register(ignore)  # first, so it is the last: after it Python takes its handlers away
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        from tsatal.cli import main

        main()
    except KeyboardInterrupt:
        sys.stderr.write("Error: stopped; give the same command again\n")
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    sys.exit(status)


if __name__ == "__main__":
    run()
