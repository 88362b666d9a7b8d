"""`prefstream sources list | accept`."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer
from rich.console import Console

from prefstream.cli.options import BootstrapServers, Namespace
from prefstream.connection import DEFAULT_BOOTSTRAP_SERVERS, missing_topic
from prefstream.rendering.sources import standings_list
from prefstream.sources import Beginning, Standing, read_standings
from prefstream.sources import accept as accept_topic
from prefstream.topics import DEFAULT_NAMESPACE, TopicNames

sources = typer.Typer(help="The topics that workers read, and where they stand in them.", no_args_is_help=True)


@sources.command("list", epilog="Examples: `prefstream sources list`, `prefstream sources list --json | jq -r .verdict`")
def list_sources(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document a line.")] = False,
    bootstrap_servers: BootstrapServers = DEFAULT_BOOTSTRAP_SERVERS,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Show where the workers stand in each partition they read, and whether they may go on from there.

    The exit code is 1 if a topic was created again or lost its end, because workers refuse to start until that is decided;
    and if one of prefstream's own topics does not exist.
    """
    names = TopicNames(namespace)
    always = (names.events,) if names.shadow_of else (names.inbox, names.replays, names.events)
    found = read_standings(bootstrap_servers, namespace, always)
    if as_json:
        for standing in found:
            typer.echo(msgspec.json.encode(_standing_line(standing)))
    elif found:
        Console().print(standings_list(found))
    for name in always:
        if name not in {standing.topic for standing in found}:
            raise missing_topic(name)
    if any(standing.needs_decision for standing in found):
        raise typer.Exit(1)


def _standing_line(standing: Standing) -> dict[str, object]:
    asked = {"lag": standing.lag, "verdict": standing.verdict, "needs_decision": standing.needs_decision}
    return msgspec.structs.asdict(standing) | asked


@sources.command("accept", epilog="Example: `prefstream sources accept ratings --from beginning`")
def accept_source(
    topic: Annotated[str, typer.Argument(help="A topic that was created again, or lost its end.")],
    start: Annotated[
        Beginning | None, typer.Option("--from", help="Where to go on. A topic created again: beginning, if not said.")
    ] = None,
    bootstrap_servers: BootstrapServers = DEFAULT_BOOTSTRAP_SERVERS,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Decide that workers go on in a topic as it is now. To be asked while no worker runs; safe to repeat."""
    decided = accept_topic(bootstrap_servers, namespace, topic, start)
    for standing in decided:
        typer.echo(f"{topic}, partition {standing.partition}: workers go on at offset {standing.committed:,}.")
    if not decided:
        typer.echo(f"{topic}: nothing to decide.")
