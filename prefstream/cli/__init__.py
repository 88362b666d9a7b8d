"""The command line: create the topics, publish events, look at a summary, watch summaries change, settle dead letters, audit.

One file for each group of commands; here they become one program.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from prefstream.cli.audit import audit
from prefstream.cli.dead_letters import dead_letters
from prefstream.cli.publish import publish
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
app.command(epilog="Examples: `prefstream publish events.jsonl`, `tail -f app.jsonl | prefstream publish -`")(publish)
app.command(epilog="Examples: `prefstream summary ada`, `prefstream summary ada --json | jq -r .text`")(summary)
app.command(epilog="Examples: `prefstream watch`, `prefstream watch --user ada --json`")(watch)
app.command(epilog="Examples: `prefstream audit`, `prefstream audit --wait 60 --json | jq -r .sentence`")(audit)


def main() -> None:
    """The console entry point: errors that prefstream raises on purpose are one sentence and exit code 1."""
    try:
        app()
    except PrefstreamError as error:
        complain(str(error))
        sys.exit(1)
