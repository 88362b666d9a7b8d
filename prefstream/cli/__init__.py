"""The command line: topics, events, summaries, what a person asks for, dead letters, the audit.

One file for each group of commands; here they become one program.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from prefstream.cli.audit import audit
from prefstream.cli.capacity import capacity
from prefstream.cli.configuration import config
from prefstream.cli.controls import allow, edit, forget, never, opt_in, opt_out, pin, roll_back, unpin
from prefstream.cli.dead_letters import dead_letters
from prefstream.cli.export import export
from prefstream.cli.history import diff, history
from prefstream.cli.publish import publish
from prefstream.cli.rebuild import rebuild
from prefstream.cli.sources import sources
from prefstream.cli.summaries import summary, watch
from prefstream.cli.terminal import complain
from prefstream.cli.topics import topics
from prefstream.errors import PrefstreamError

app = typer.Typer(
    help="One short, readable text per user of what they like, kept current from live Kafka events.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(version("prefstream"))
        raise typer.Exit


@app.callback()
def options(
    is_asked: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """One short, readable text per user of what they like, kept current from live Kafka events."""


app.add_typer(topics, name="topics")
app.add_typer(dead_letters, name="dead-letters")
app.add_typer(sources, name="sources")
app.add_typer(rebuild, name="rebuild")
app.add_typer(config, name="config")
app.command(epilog="Examples: `prefstream publish events.jsonl`, `tail -f app.jsonl | prefstream publish -`")(publish)
app.command(epilog="Examples: `prefstream summary ada`, `prefstream summary ada --json | jq -r .text`")(summary)
app.command(epilog="Examples: `prefstream watch`, `prefstream watch --user ada --json`")(watch)
app.command(epilog="Examples: `prefstream history ada`, `prefstream history ada --version 3`")(history)
app.command(epilog="Examples: `prefstream diff ada`, `prefstream diff ada 3 7`")(diff)
app.command(epilog="Examples: `prefstream edit ada 'Loves slow films.'`, `prefstream edit ada - < text.txt`")(edit)
app.command(epilog="Example: `prefstream pin ada 'Never horror before bed.'`")(pin)
app.command(epilog="Example: `prefstream unpin ada 'Never horror before bed.'`")(unpin)
app.command(epilog="Examples: `prefstream never ada religion`, `prefstream never ada 'my family' --json`")(never)
app.command(epilog="Example: `prefstream allow ada religion`")(allow)
app.command("opt-out", epilog="Example: `prefstream opt-out ada`")(opt_out)
app.command("opt-in", epilog="Example: `prefstream opt-in ada`")(opt_in)
app.command("roll-back", epilog="Example: `prefstream roll-back ada 12`")(roll_back)
app.command(epilog="Examples: `prefstream forget ada`, `prefstream forget ada --yes --json`")(forget)
app.command(epilog="Example: `prefstream export ada > ada.json`")(export)
app.command(epilog="Examples: `prefstream audit`, `prefstream audit --wait 60 --json | jq -r .sentence`")(audit)
app.command(
    epilog="Examples: `prefstream capacity --users 1e9`, `prefstream capacity --users 2M --flush-age 900 --gpu-hour 2.50`, "
    "`prefstream capacity --users 50k --model counting --json`"
)(capacity)


def main() -> None:
    """Run a command: errors that prefstream raises on purpose are one sentence and exit code 1."""
    try:
        app()
    except PrefstreamError as error:
        complain(str(error))
        sys.exit(1)
