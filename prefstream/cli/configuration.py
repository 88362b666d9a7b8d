"""``prefstream config``: the settings of the worker that would start here."""

from __future__ import annotations

import subprocess
import sys

import typer

from prefstream.cli.terminal import complain

config = typer.Typer(help="The settings of a worker.", no_args_is_help=True)


@config.command(epilog="Example: `PREFSTREAM_SETTINGS=prefstream.toml prefstream config show`")
def show() -> None:
    """Prints every setting as a worker started here would have it, with where it came from; secrets are masked.

    Exits with 2, naming each variable and the fix, where a worker would refuse to start.
    """
    # The worker is no part of this package: where only the package is installed, there is none to ask.
    asked = subprocess.run([sys.executable, "-m", "agents", "--show-settings"], capture_output=True, text=True)
    if "No module named agents" in asked.stderr:
        complain("no worker is installed here: run this where `python -m agents` starts one")
        raise typer.Exit(1)
    sys.stdout.write(asked.stdout)
    sys.stderr.write(asked.stderr)
    raise typer.Exit(asked.returncode)
