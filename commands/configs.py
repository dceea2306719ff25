"""`tsatal configs`: the settings of stage two, as shipped."""

from __future__ import annotations

import click


@click.command("configs")
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """List the shipped configurations, or print one with all its settings."""
    from ..config import dump_config, load_config, shipped_configs

    click.echo(dump_config(load_config(name)) if name else "\n".join(shipped_configs()))
