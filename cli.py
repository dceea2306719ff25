"""The command line: the group, its errors, and where each command is found.

A command is the module of its name in `commands/`, loaded when it is called: options in, one call
of `pipeline`, text out.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from importlib import import_module
from types import FrameType
from typing import Any

import click

from . import __version__
from .commands.options import TYPED, Number, exit_status, is_first_process, kept
from .errors import (
    InputError,
    Terminated,
    is_gpu_failure,
    is_out_of_memory,
    one_line,
    shortened,
)
from .formats.limits import MEMORY_GIB, MOST_GIB, allow
from .progress import LogHandler

# In the order of a newcomer's way.
COMMANDS = (
    "demo", "extract", "train", "evaluate", "detect", "view", "clips", "report", "explain",
    "annotate", "check", "info",
    "convert", "configs", "backbones", "import", "export", "export-onnx", "pack", "docs",
)  # fmt: skip
AGAIN_SEC = 0.05  # after which a signal that a library has swallowed is sent again
_came: list[int] = []  # signals to stop, since `stoppable` began


class _Stopped(click.ClickException):
    """The end by Ctrl-C or SIGTERM, with what is kept."""

    def __init__(self, stop: KeyboardInterrupt) -> None:
        super().__init__(shortened(f"stopped; {kept()}"))
        self.exit_code = exit_status(stop)  # type: ignore[misc]


class _Group(click.Group):
    """Loads a command when it is asked for, and turns a user's mistake into one clear line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Return the command of this name, or None."""
        if name not in COMMANDS:
            return None
        module = "import_" if name == "import" else name.replace("-", "_")  # a word of Python's
        command: click.Command = import_module(f".commands.{module}", __package__).command
        return command

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the command line; Ctrl-C and SIGTERM end it with one line."""
        with stoppable():
            return super().main(*args, **extra)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Return the context of a call; what it refuses is said on one screen."""
        with _one_screen():
            return super().make_context(*args, **extra)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words after the program's name, and keep them for `options.typed_command`."""
        ctx.meta[TYPED] = ["tsatal", *args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, and turn what it raises into one line."""
        try:
            with _one_screen():
                return super().invoke(ctx)
        except (InputError, OSError) as error:
            if ctx.params.get("debug") or isinstance(error, BrokenPipeError):  # `| head`: click's
                raise
            raise click.ClickException(one_line(error)) from error
        except Exception as error:
            if not ctx.params.get("debug") and is_gpu_failure(error):
                raise click.ClickException(
                    f"the GPU failed ({one_line(error)}); {kept()}; try again, or --device cpu"
                ) from error
            if ctx.params.get("debug") or not is_out_of_memory(error):
                raise
            raise click.ClickException(
                f"out of memory ({one_line(error)})"
                "; on a GPU, a smaller --segment, optim.batch_size or data.window_steps may help"
            ) from error


@contextlib.contextmanager
def _one_screen() -> Iterator[None]:
    """Say in one line what is kept after a signal, and on one screen what click refuses."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise _Stopped(stop) from None
    except click.UsageError as error:
        error.message = shortened(error.message)  # type: ignore[misc]
        raise
    except (click.ClickException, click.exceptions.Exit):
        raise
    except Exception:
        if not _came:
            raise
        # A library made another exception of the one that stops, as pybind11's overloads do.
        raise _Stopped(_stop_of(_came[-1])) from None


def _stop_of(number: int) -> KeyboardInterrupt:
    """Return what a signal raises."""
    return Terminated() if number == signal.SIGTERM else KeyboardInterrupt()


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM end what runs as Ctrl-C does; the second of either quits at once.

    Only where signals can be caught: in the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    had, ignored = [signal.getsignal(n) for n in signals], sys.unraisablehook
    _came.clear()

    def stop(number: int, frame: FrameType | None) -> None:
        _came.append(number)
        if len(_came) > 1:
            os._exit(128 + number)
        raise _stop_of(number)

    def resend(lost: Any) -> None:
        """Send a signal again whose exception came where Python can only print it."""
        if not _came or not issubclass(lost.exc_type, KeyboardInterrupt):
            # What a library fails at because it is being stopped is not worth a word.
            if not isinstance(getattr(lost.exc_value, "__context__", None), KeyboardInterrupt):
                ignored(lost)
            return
        timer = threading.Timer(AGAIN_SEC, os.kill, (os.getpid(), _came.pop()))
        timer.daemon = True
        timer.start()

    for number in signals:
        signal.signal(number, stop)
    sys.unraisablehook = resend
    try:
        yield
    finally:
        _came.clear()
        sys.unraisablehook = ignored
        for number, handler in zip(signals, had, strict=True):
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


class _Short(logging.Formatter):
    """Lines of the log, as `options.say` prints lines: names may hold anything."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return "\n".join(map(shortened, super().format(record).split("\n")))


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tsatal")
@click.option("--debug", is_flag=True, help="Show where an error came from.")
@click.option("-q", "--quiet", is_flag=True, help="Show warnings and results only.")
@click.option("-v", "--verbose", is_flag=True, help="Show what the curious want to know, too.")
@click.option(
    "--memory",
    type=Number(0.01, MOST_GIB),
    default=MEMORY_GIB,
    show_default=True,
    metavar="GIB",
    help="Refuse a file, a video's rows or a network that would take more memory than this.",
)
@click.pass_context
def main(context: click.Context, debug: bool, quiet: bool, verbose: bool, memory: float) -> None:
    """Find actions in untrimmed video: label, start, end, score.

    \b
    tsatal extract videos/ out.h5        videos to features, once
    tsatal train --features out.h5       features to a trained head
    tsatal evaluate                      mAP, detections and pictures of the newest run
    """
    allow(memory)
    for stream in (sys.stdout, sys.stderr):  # names may hold what a terminal cannot show
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if quiet and verbose:
        raise click.UsageError("--quiet and --verbose: choose one")
    quiet = quiet or not is_first_process()
    level = logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO
    _log_for(context, level)


def _log_for(context: click.Context, level: int) -> None:
    """Show our log from `level` on, and of other libraries warnings, while the command runs."""
    root, ours = logging.getLogger(), logging.getLogger(__package__)
    before = ours.level
    ours.setLevel(level)
    context.call_on_close(lambda: ours.setLevel(before))
    if not root.handlers:  # a program around us may have its own
        handler = LogHandler()
        handler.setFormatter(_Short("%(message)s"))
        root.addHandler(handler)
        context.call_on_close(lambda: root.removeHandler(handler))
