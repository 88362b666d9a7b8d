"""The options that several commands share."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from prefstream.security import Brokers, security_of
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


def checked_text(text: str | None) -> str | None:
    """What was typed, unless it is no UTF-8, which every id and text of an event is: a typer callback."""
    try:
        (text or "").encode()
    except UnicodeEncodeError as error:
        raise typer.BadParameter(f"{text!r} is no UTF-8: write it in UTF-8") from error
    return text


def _secured(addresses: object) -> Brokers:
    """The brokers, with the security that the environment says: passwords are no options, every process list shows those."""
    return Brokers(str(addresses), security_of(os.environ))


BootstrapServers = Annotated[
    Brokers,
    typer.Option(
        parser=_secured,
        metavar="HOST:PORT,...",
        envvar="PREFSTREAM_BOOTSTRAP_SERVERS",
        help="Kafka brokers; how to come in, the variables PREFSTREAM_KAFKA_... say.",
    ),
]
Namespace = Annotated[
    str, typer.Option(envvar="PREFSTREAM_NAMESPACE", callback=_check_namespace, help="What the topics' names start with.")
]
User = Annotated[str, typer.Argument(callback=checked_text, help="The user's id, as it is in the events.")]
Tenant = Annotated[str, typer.Option(callback=_check_tenant, help="Whose user it is, if your events say that.")]
AnyTenant = Annotated[str | None, typer.Option(callback=_check_tenant, help="Only this tenant's users.")]
