"""`prefstream topics create`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console

from prefstream.admin import Difference, apply, compare_topics, refuse
from prefstream.cli.options import BootstrapServers, Namespace
from prefstream.connection import DEFAULT_BOOTSTRAP_SERVERS
from prefstream.rendering import counted
from prefstream.rendering.topics import differences_list
from prefstream.topics import DEFAULT_NAMESPACE, DEFAULT_NUM_PARTITIONS, topic_specs

topics = typer.Typer(help="The topics of the flow.", no_args_is_help=True)


@topics.command("create", epilog="Example: `prefstream topics create --partitions 32 --replication-factor 3 --dry-run`")
def create(
    bootstrap_servers: BootstrapServers = DEFAULT_BOOTSTRAP_SERVERS,
    namespace: Namespace = DEFAULT_NAMESPACE,
    partitions: Annotated[
        int, typer.Option(min=1, help="Of the keyed topics; raised later by `python -m agents.repartition`.")
    ] = DEFAULT_NUM_PARTITIONS,
    replication_factor: Annotated[int, typer.Option(min=1, help="Copies of each partition; 3 in production.")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")] = False,
) -> None:
    """Create the topics, or change their settings to what they should be.

    Safe to repeat. What would break the flow is refused, and then nothing is touched.
    """
    specs = topic_specs(namespace, partitions, replication_factor)
    found = compare_topics(bootstrap_servers, specs)
    console = Console()
    if not found:
        console.print("Nothing to do.")
        return
    console.print(differences_list(specs, found))
    refuse(found)
    if not dry_run:
        apply(bootstrap_servers, specs, found)
    console.print(_told(found, dry_run))


def _told(found: Sequence[Difference], dry_run: bool) -> str:
    would = "would be " if dry_run else ""
    num_created = sum(one.remedy == "create" for one in found)
    counts = {f"{would}created": (num_created, "topic"), f"{would}changed": (len(found) - num_created, "setting")}
    return ", ".join(f"{counted(number, what)} {done}" for done, (number, what) in counts.items() if number) + "."
