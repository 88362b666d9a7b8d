"""`prefstream audit`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import msgspec
import typer
from rich.console import Console

from prefstream.absence import Wanted, search
from prefstream.audit import Verdict
from prefstream.audit_reader import audit as audit_topics
from prefstream.cli.options import BootstrapServers, Namespace, Tenant
from prefstream.cli.terminal import complain, reading_bars
from prefstream.connection import DEFAULT_BOOTSTRAP_SERVERS
from prefstream.errors import PrefstreamError
from prefstream.rendering.absence import absence_report
from prefstream.rendering.audit import audit_report
from prefstream.security import Servers
from prefstream.tenants import key_of
from prefstream.topics import DEFAULT_NAMESPACE

AUDIT_EXIT_CODES: dict[Verdict, int] = {"holds": 0, "broken": 1, "undecided": 2}


def audit(
    wait: Annotated[float, typer.Option(min=0, help="Seconds to read again while that may decide it.")] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
    user: Annotated[str | None, typer.Option(help="Look for what is left of this user instead.")] = None,
    tenant: Tenant = "",
    canary: Annotated[list[str] | None, typer.Option(help="With --user: a text only they were shown; repeatable.")] = None,
    state: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="With --user: a worker's data directory to search too.")
    ] = None,
    bootstrap_servers: BootstrapServers = DEFAULT_BOOTSTRAP_SERVERS,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Prove from the topics alone that no event is lost and none is counted twice, also while workers run.

    The exit code is 0 if it holds, 1 if it does not, and 2 if it cannot be decided, or the topics cannot be read. With --user
    it is 0 if nothing live is left of them, and 1 if something is.
    """
    if user is not None:
        _look_for(Wanted(key_of(tenant, user), tuple(canary or ())), state, as_json, bootstrap_servers, namespace)
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


def _look_for(wanted: Wanted, state: Path | None, as_json: bool, bootstrap_servers: Servers, namespace: str) -> NoReturn:
    """Print what is left of a user, and end with whether that is nothing live."""
    try:
        with reading_bars() as watch:
            found = search(bootstrap_servers, namespace, wanted, state, datetime.now(UTC), watch)
    except PrefstreamError as error:
        complain(str(error))
        raise typer.Exit(AUDIT_EXIT_CODES["undecided"]) from error
    if as_json:
        typer.echo(msgspec.json.encode(found))
    else:
        Console().print(absence_report(found))
    raise typer.Exit(0 if found.is_proven else 1)
