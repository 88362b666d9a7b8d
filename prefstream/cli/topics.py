"""`prefstream topics create`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from prefstream.admin import apply, compare_topics, refuse
from prefstream.cli.options import BootstrapServers, Namespace
from prefstream.connection import DEFAULT_BOOTSTRAP_SERVERS
from prefstream.rendering.topics import topics_table
from prefstream.topics import DEFAULT_NAMESPACE, DEFAULT_NUM_PARTITIONS, topic_specs

topics = typer.Typer(help="The topics of the flow.", no_args_is_help=True)


@topics.command("create", epilog="Example: `prefstream topics create --partitions 32 --replication-factor 3 --dry-run`")
def create(
    bootstrap_servers: BootstrapServers = DEFAULT_BOOTSTRAP_SERVERS,
    namespace: Namespace = DEFAULT_NAMESPACE,
    partitions: Annotated[int, typer.Option(min=1, help="Of the keyed topics, for ever.")] = DEFAULT_NUM_PARTITIONS,
    replication_factor: Annotated[int, typer.Option(min=1, help="Copies of each partition; 3 in production.")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")] = False,
) -> None:
    """Create the topics, or change their settings to what they should be.

    Safe to repeat. What would break the flow is refused, and then nothing is touched.
    """
    specs = topic_specs(namespace, partitions, replication_factor)
    found = compare_topics(bootstrap_servers, specs)
    Console().print(topics_table(specs, found))
    refuse(found)
    if not dry_run:
        apply(bootstrap_servers, specs, found)
        Console().print(f"{len(found)} differences, all applied." if found else "Nothing to do.")
