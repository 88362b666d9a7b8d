"""The options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from prefstream.topics import TopicNames


def _check_namespace(namespace: str) -> str:
    try:
        return TopicNames(namespace).namespace
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


BootstrapServers = Annotated[
    str, typer.Option(envvar="PREFSTREAM_BOOTSTRAP_SERVERS", help="Kafka brokers, host:port, separated by commas.")
]
Namespace = Annotated[
    str, typer.Option(envvar="PREFSTREAM_NAMESPACE", callback=_check_namespace, help="What the topics' names start with.")
]
