"""`prefstream audit`."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer
from rich.console import Console

from prefstream.audit import Verdict
from prefstream.audit_reader import audit as audit_topics
from prefstream.cli.options import BootstrapServers, Namespace
from prefstream.cli.terminal import complain, reading_bars
from prefstream.connection import DEFAULT_BOOTSTRAP_SERVERS
from prefstream.errors import PrefstreamError
from prefstream.rendering.audit import audit_report
from prefstream.topics import DEFAULT_NAMESPACE

AUDIT_EXIT_CODES: dict[Verdict, int] = {"holds": 0, "broken": 1, "undecided": 2}


def audit(
    wait: Annotated[float, typer.Option(min=0, help="Seconds to read again while that may decide it.")] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
    bootstrap_servers: BootstrapServers = DEFAULT_BOOTSTRAP_SERVERS,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Prove from the topics alone that no event is lost and none is counted twice, also while workers run.

    The exit code is 0 if it holds, 1 if it does not, and 2 if it cannot be decided, or the topics cannot be read.
    """
    try:
        with reading_bars() as watch:
            found = audit_topics(bootstrap_servers, namespace, watch, wait)
    except PrefstreamError as error:
        complain(str(error))
        raise typer.Exit(AUDIT_EXIT_CODES["undecided"]) from error
    if as_json:
        typer.echo(msgspec.json.encode(found))
    else:
        Console().print(audit_report(found))
    raise typer.Exit(AUDIT_EXIT_CODES[found.verdict])
