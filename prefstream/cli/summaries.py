"""`prefstream summary` and `prefstream watch`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from prefstream.cli.options import AnyTenant, BootstrapServers, Namespace, Tenant, User, checked_text
from prefstream.cli.terminal import complain
from prefstream.connection import DEFAULT_BOOTSTRAP_SERVERS
from prefstream.diffs import has_colours
from prefstream.reader import Erased, SummaryReader
from prefstream.rendering import printable
from prefstream.rendering.summaries import summary_panel, version_lines
from prefstream.summaries import Summary, encode_summary
from prefstream.tenants import key_of, shown
from prefstream.topics import DEFAULT_NAMESPACE, TopicNames


def summary(
    user: User,
    tenant: Tenant = "",
    as_json: Annotated[bool, typer.Option("--json", help="The record as it is on the topic.")] = False,
    bootstrap_servers: BootstrapServers = DEFAULT_BOOTSTRAP_SERVERS,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Show the current summary of a user, and what it is based on; `prefstream history` shows what it said before."""
    topic = TopicNames(namespace).summaries
    with SummaryReader(bootstrap_servers, topic, start="now") as reader:
        found = reader.current(user, tenant)
    if found is None:
        complain(
            f"{topic} has no summary of {printable(shown(tenant, user))!r}: no events yet, none due yet, or erased; "
            "or events wait for a worker, or for its model to answer (the worker's log says so)."
        )
        raise typer.Exit(1)
    if as_json:
        typer.echo(encode_summary(found))
    else:
        Console().print(summary_panel(found, datetime.now(UTC)))


def watch(
    user: Annotated[str | None, typer.Option(callback=checked_text, help="Only this user.")] = None,
    tenant: AnyTenant = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document a line.")] = False,
    bootstrap_servers: BootstrapServers = DEFAULT_BOOTSTRAP_SERVERS,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Print every new version as it comes, with the added words green and the removed ones struck out, until Ctrl-C."""
    topic = TopicNames(namespace).summaries
    with SummaryReader(bootstrap_servers, topic, start="now") as reader:
        try:
            reader.catch_up()
            Console(stderr=True).print(Text(f"watching {topic}, until Ctrl-C", "dim"))
            for previous, record in _changes(reader, user, tenant):
                _show(previous, record, as_json)
        except KeyboardInterrupt:
            return


def _changes(reader: SummaryReader, user: str | None, tenant: str | None) -> Iterator[tuple[Summary | None, Summary | Erased]]:
    """Each new record with the version before it, if there is one."""
    latest: dict[bytes, Summary | Erased] = {}
    if user is not None and tenant is None:
        tenant = ""
    for record in reader.follow():
        if user in (None, record.user) and tenant in (None, record.tenant):
            key = key_of(record.tenant, record.user)
            previous = latest.get(key) or reader.known(record.user, record.tenant)
            latest[key] = record
            yield previous if isinstance(previous, Summary) else None, record


def _show(previous: Summary | None, record: Summary | Erased, as_json: bool) -> None:
    match record:
        case Summary() if as_json:
            typer.echo(encode_summary(record))
        case Summary():
            console = Console()
            console.print(version_lines(previous, record, datetime.now(UTC), has_colours(console)))
        case Erased(user, tenant) if as_json:
            typer.echo(msgspec.json.encode({"user": user} | ({"tenant": tenant} if tenant else {}) | {"erased": True}))
        case Erased(user, tenant):
            Console().print(Text.assemble((printable(shown(tenant, user)), "bold"), ("  erased\n", "red")))
