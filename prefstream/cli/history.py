"""`prefstream history` and `prefstream diff`: what a summary said before, why it changed, and in which words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from prefstream.cli.options import BootstrapServers, Namespace, Tenant, User
from prefstream.cli.terminal import complain, reading_bars
from prefstream.connection import DEFAULT_BOOTSTRAP_SERVERS
from prefstream.diffs import has_colours
from prefstream.history import KeptVersion, encode_version
from prefstream.history_reader import read_history
from prefstream.rendering import printable
from prefstream.rendering.history import difference, history_lines
from prefstream.rendering.summaries import summary_panel
from prefstream.security import Servers
from prefstream.tenants import shown
from prefstream.topics import DEFAULT_NAMESPACE, TopicNames


def history(
    user: User,
    version: Annotated[int | None, typer.Option(min=1, help="Show this version whole.")] = None,
    tenant: Tenant = "",
    as_json: Annotated[bool, typer.Option("--json", help="The records as they are on the topic, the oldest first.")] = False,
    bootstrap_servers: BootstrapServers = DEFAULT_BOOTSTRAP_SERVERS,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """List the kept versions of a summary: when and why each was made, of how many events, by which model."""
    found = _kept(user, tenant, bootstrap_servers, namespace)
    chosen = found if version is None else (_one(found, version),)
    if as_json:
        typer.echo(msgspec.json.format(b"[" + b",".join(map(encode_version, chosen)) + b"]"))
    elif version is not None:
        Console().print(summary_panel(chosen[0], datetime.now(UTC)))
    else:
        Console().print(*history_lines(found, datetime.now(UTC)), sep="\n")


def diff(
    user: User,
    old: Annotated[int | None, typer.Argument(min=1, help="A version; without one, the one before NEW.")] = None,
    new: Annotated[int | None, typer.Argument(min=1, help="Another; without one, the newest.")] = None,
    tenant: Tenant = "",
    bootstrap_servers: BootstrapServers = DEFAULT_BOOTSTRAP_SERVERS,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Show what changed between two versions, with the added words green and the removed ones struck out."""
    found = _kept(user, tenant, bootstrap_servers, namespace)
    if len(found) == 1 and old is None:
        complain(f"version {found[0].version} is the only one: there is nothing to compare it with.")
        raise typer.Exit(1)
    console, later = Console(), _one(found, found[-1].version if new is None else new)
    earlier = found[-2] if old is None else _one(found, old)
    console.print(difference(earlier, later, datetime.now(UTC), has_colours(console)))


def _kept(user: str, tenant: str, bootstrap_servers: Servers, namespace: str) -> tuple[KeptVersion, ...]:
    """The versions of somebody who has any; the command ends where there is none."""
    with reading_bars() as watch:
        found = read_history(bootstrap_servers, user, tenant, namespace=namespace, watch=watch)
    if not found:
        topic = TopicNames(namespace).summaries
        complain(f"{topic} has no summary of {printable(shown(tenant, user))!r}: no events yet, none due yet, or erased.")
        raise typer.Exit(1)
    return found


def _one(found: tuple[KeptVersion, ...], number: int) -> KeptVersion:
    """The version with this number; the command ends where it is not kept."""
    for one in found:
        if one.version == number:
            return one
    complain(f"version {number} is not kept: there are {found[0].version} to {found[-1].version}.")
    raise typer.Exit(1)
