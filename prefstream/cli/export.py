"""`prefstream export`."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import typer

from prefstream.cli.options import BootstrapServers, Namespace, Tenant, User
from prefstream.cli.terminal import reading_bars
from prefstream.connection import DEFAULT_BOOTSTRAP_SERVERS
from prefstream.exports import export as export_user
from prefstream.topics import DEFAULT_NAMESPACE


def export(
    user: User,
    tenant: Tenant = "",
    bootstrap_servers: BootstrapServers = DEFAULT_BOOTSTRAP_SERVERS,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Write everything that prefstream's topics hold about a user, as one JSON document."""
    with reading_bars() as watch:
        found = export_user(bootstrap_servers, namespace, user, datetime.now(UTC), watch, tenant)
    typer.echo(msgspec.json.format(msgspec.json.encode(found)))
