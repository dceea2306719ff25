"""The command line: the group, its errors, and where each command is found.

A command is the module of its name in `commands/`, loaded when it is called: options in, one call
of `pipeline`, text out.
"""

from __future__ import annotations

import io
import logging
import sys
from importlib import import_module
from typing import Any

import click

from . import __version__
from .commands.options import is_first_process
from .errors import InputError, is_out_of_memory, one_line

# In the order of a newcomer's way.
COMMANDS = (
    "demo", "extract", "train", "evaluate", "detect", "view", "report", "check", "info", "configs",
    "backbones", "import", "export", "export-onnx",
)  # fmt: skip


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

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (InputError, OSError) as error:
            if ctx.params.get("debug"):
                raise
            raise click.ClickException(one_line(error)) from error
        except Exception as error:
            if ctx.params.get("debug") or not is_out_of_memory(error):
                raise
            raise click.ClickException(
                f"out of memory ({one_line(error)})"
                "; on a GPU, a smaller --segment, optim.batch_size or data.window_steps may help"
            ) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tsatal")
@click.option("--debug", is_flag=True, help="Show where an error came from.")
@click.option("-q", "--quiet", is_flag=True, help="Show warnings and results only.")
def main(debug: bool, quiet: bool) -> None:
    """Find actions in untrimmed video: label, start, end, score.

    \b
    tsatal extract videos/ out.h5        videos to features, once
    tsatal train --features out.h5       features to a trained head
    tsatal evaluate                      mAP, detections and pictures of the newest run
    """
    for stream in (sys.stdout, sys.stderr):  # names may hold what a terminal cannot show
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    quiet = quiet or not is_first_process()
    logging.basicConfig(
        level=logging.WARNING if quiet else logging.INFO, format="%(message)s", stream=sys.stderr
    )
