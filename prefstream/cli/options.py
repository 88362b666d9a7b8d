"""The options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from prefstream.tenants import NAMING, is_tenant
from prefstream.topics import TopicNames


def _check_namespace(namespace: str) -> str:
    try:
        return TopicNames(namespace).namespace
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _check_tenant(tenant: str | None) -> str | None:
    if tenant is not None and not is_tenant(tenant):
        raise typer.BadParameter(f"{tenant!r}: {NAMING}")
    return tenant


BootstrapServers = Annotated[
    str, typer.Option(envvar="PREFSTREAM_BOOTSTRAP_SERVERS", help="Kafka brokers, host:port, separated by commas.")
]
Namespace = Annotated[
    str, typer.Option(envvar="PREFSTREAM_NAMESPACE", callback=_check_namespace, help="What the topics' names start with.")
]
Tenant = Annotated[str, typer.Option(callback=_check_tenant, help="Whose user it is, if your events say that.")]
AnyTenant = Annotated[str | None, typer.Option(callback=_check_tenant, help="Only this tenant's users.")]
