"""`tsatal configs`: the settings of stage two, as shipped, with what each means."""

from __future__ import annotations

import click

from .options import READS, say, when_stopped


@click.command("configs")
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """List the shipped configurations, or print NAME with every setting and what it means.

    What is printed can be saved, edited, and given to `train --config FILE`.
    """
    when_stopped(READS)
    from ..config import explain_config, load_config, shipped_configs

    say(explain_config(load_config(name)) if name is not None else "\n".join(shipped_configs()))
