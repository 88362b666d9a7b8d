"""`prefstream audit`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import typer
from rich.console import Console, RenderableType

from prefstream.absence import Wanted, search
from prefstream.audit import Verdict
from prefstream.audit_reader import audit as audit_topics
from prefstream.cli.options import BootstrapServers, Namespace, Tenant, checked_text
from prefstream.cli.terminal import complain, reading_bars
from prefstream.connection import DEFAULT_BOOTSTRAP_SERVERS
from prefstream.errors import PrefstreamError
from prefstream.reading import Watch
from prefstream.rendering.absence import absence_report
from prefstream.rendering.audit import audit_report
from prefstream.tenants import key_of
from prefstream.topics import DEFAULT_NAMESPACE

T = TypeVar("T")

AUDIT_EXIT_CODES: dict[Verdict, int] = {"holds": 0, "broken": 1, "undecided": 2}


def audit(
    wait: Annotated[float, typer.Option(min=0, help="Seconds to read again while that may decide it.")] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
    user: Annotated[str | None, typer.Option(callback=checked_text, help="Look for what is left of this user instead.")] = None,
    tenant: Tenant = "",
    canary: Annotated[list[str] | None, typer.Option(help="With --user: a text only they were shown; repeatable.")] = None,
    state: Annotated[
        list[Path] | None,
        typer.Option(exists=True, file_okay=False, help="With --user: a worker's data directory to search too; repeatable."),
    ] = None,
    bootstrap_servers: BootstrapServers = DEFAULT_BOOTSTRAP_SERVERS,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Prove from the topics alone that no event is lost and none is counted twice, also while workers run.

    The exit code is 0 if it holds, 1 if it does not, and 2 if it cannot be decided, or the topics cannot be read. With --user
    it is 0 if nothing live is left of them, and 1 if something is.
    """
    if user is not None:
        if wait:
            raise typer.BadParameter("is for the audit of everybody: leave out --user, or --wait", param_hint="--wait")
        wanted = Wanted(key_of(tenant, user), tuple(canary or ()))
        left = _read(lambda watch: search(bootstrap_servers, namespace, wanted, state or (), datetime.now(UTC), watch))
        _print(left, absence_report, as_json)
        raise typer.Exit(0 if left.is_proven else 1)
    for option, given in (("--canary", canary), ("--state", state), ("--tenant", tenant)):
        if given:
            raise typer.BadParameter("is for the search for one user: add --user", param_hint=option)
    found = _read(lambda watch: audit_topics(bootstrap_servers, namespace, watch, wait))
    _print(found, audit_report, as_json)
    raise typer.Exit(AUDIT_EXIT_CODES[found.verdict])


def _read(what: Callable[[Watch], T]) -> T:
    """What is found on the topics; where they cannot be read, the command says so and ends."""
    try:
        with reading_bars() as watch:
            return what(watch)
    except PrefstreamError as error:
        complain(str(error))
        raise typer.Exit(AUDIT_EXIT_CODES["undecided"]) from error


def _print(found: T, report: Callable[[T], RenderableType], as_json: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.encode(found))
    else:
        Console().print(report(found))
