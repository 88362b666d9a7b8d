"""What the person summarised asks for: `prefstream edit`, `pin`, `never`, `opt-out`, what undoes these, `roll-back`, `forget`.

Each publishes one command and waits for its receipt. The exit code is 0 if it holds now, 1 if it was refused, and 2 if no
receipt came in time: then it is on its way, and may be asked for again.
"""

from __future__ import annotations

import sys
import uuid
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from prefstream.cli.options import BootstrapServers, Namespace, Tenant, User, checked_text
from prefstream.cli.terminal import complain, confirm
from prefstream.commands import Allow, Command, Edit, Forget, Never, OptIn, OptOut, Pin, RollBack, Unpin
from prefstream.connection import DEFAULT_BOOTSTRAP_SERVERS
from prefstream.publisher import Publisher
from prefstream.receipt_reader import ReceiptReader
from prefstream.receipts import Receipt, encode_receipt
from prefstream.rendering.receipts import receipt_line
from prefstream.security import Servers
from prefstream.tenants import shown
from prefstream.topics import DEFAULT_NAMESPACE, TopicNames

NO_RECEIPT = 2

Statement = Annotated[str, typer.Argument(callback=checked_text, help="A sentence, as it is to stand in the summary.")]
Subject = Annotated[str, typer.Argument(callback=checked_text, help="A word, or a few in a row.")]
Timeout = Annotated[float, typer.Option(min=0, help="Seconds to wait for the receipt.")]
AsJson = Annotated[bool, typer.Option("--json", help="The receipt as it is on its topic.")]


def edit(
    user: User,
    text: Annotated[str, typer.Argument(callback=checked_text, help="The new text; - is standard input.")],
    tenant: Tenant = "",
    timeout: Timeout = 30.0,
    as_json: AsJson = False,
    bootstrap_servers: BootstrapServers = DEFAULT_BOOTSTRAP_SERVERS,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Replace the summary's text. What is new in it stays in every later text; what it drops only new events bring back."""
    words = sys.stdin.read() if text == "-" else text
    _ask(Edit(text=words, **_mine(user, tenant)), timeout, as_json, bootstrap_servers, namespace)


def pin(
    user: User,
    statement: Statement,
    tenant: Tenant = "",
    timeout: Timeout = 30.0,
    as_json: AsJson = False,
    bootstrap_servers: BootstrapServers = DEFAULT_BOOTSTRAP_SERVERS,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Keep a statement in this and every later text, word for word."""
    _ask(Pin(statement=statement, **_mine(user, tenant)), timeout, as_json, bootstrap_servers, namespace)


def unpin(
    user: User,
    statement: Statement,
    tenant: Tenant = "",
    timeout: Timeout = 30.0,
    as_json: AsJson = False,
    bootstrap_servers: BootstrapServers = DEFAULT_BOOTSTRAP_SERVERS,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Let go of a pinned statement."""
    _ask(Unpin(statement=statement, **_mine(user, tenant)), timeout, as_json, bootstrap_servers, namespace)


def never(
    user: User,
    subject: Subject,
    tenant: Tenant = "",
    timeout: Timeout = 30.0,
    as_json: AsJson = False,
    bootstrap_servers: BootstrapServers = DEFAULT_BOOTSTRAP_SERVERS,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Take a subject out of the summary, and never learn or say anything of it again."""
    _ask(Never(subject=subject, **_mine(user, tenant)), timeout, as_json, bootstrap_servers, namespace)


def allow(
    user: User,
    subject: Subject,
    tenant: Tenant = "",
    timeout: Timeout = 30.0,
    as_json: AsJson = False,
    bootstrap_servers: BootstrapServers = DEFAULT_BOOTSTRAP_SERVERS,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Take a `never` back, or let a sensitive matter (religion, health) be learnt. What was left out meanwhile stays out."""
    _ask(Allow(subject=subject, **_mine(user, tenant)), timeout, as_json, bootstrap_servers, namespace)


def opt_out(
    user: User,
    tenant: Tenant = "",
    timeout: Timeout = 30.0,
    as_json: AsJson = False,
    bootstrap_servers: BootstrapServers = DEFAULT_BOOTSTRAP_SERVERS,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Learn nothing from the user's events from now on. The summary stays; events from before still count."""
    _ask(OptOut(**_mine(user, tenant)), timeout, as_json, bootstrap_servers, namespace)


def opt_in(
    user: User,
    tenant: Tenant = "",
    timeout: Timeout = 30.0,
    as_json: AsJson = False,
    bootstrap_servers: BootstrapServers = DEFAULT_BOOTSTRAP_SERVERS,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Learn from the user's events again, from now on."""
    _ask(OptIn(**_mine(user, tenant)), timeout, as_json, bootstrap_servers, namespace)


def roll_back(
    user: User,
    version: Annotated[int, typer.Argument(min=1, help="The version to have again: `prefstream history` lists them.")],
    tenant: Tenant = "",
    timeout: Timeout = 30.0,
    as_json: AsJson = False,
    bootstrap_servers: BootstrapServers = DEFAULT_BOOTSTRAP_SERVERS,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Have the text of an earlier version again, as a new version, with today's pins and without what is forbidden today."""
    _ask(RollBack(version=version, **_mine(user, tenant)), timeout, as_json, bootstrap_servers, namespace)


def forget(
    user: User,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether it is meant.")] = False,
    tenant: Tenant = "",
    timeout: Timeout = 60.0,
    as_json: AsJson = False,
    bootstrap_servers: BootstrapServers = DEFAULT_BOOTSTRAP_SERVERS,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Erase a user: summary, versions, waiting events, controls, dead letters. What comes later begins a new summary."""
    if not yes:
        confirm(f"Erase everything about {shown(tenant, user)!r}, for good?")
    _ask(Forget(**_mine(user, tenant)), timeout, as_json, bootstrap_servers, namespace)


def _mine(user: str, tenant: str) -> dict[str, Any]:
    return {"user": user, "tenant": tenant, "at": datetime.now(UTC), "id": uuid.uuid4().hex}


def _ask(command: Command, timeout: float, as_json: bool, bootstrap_servers: Servers, namespace: str) -> None:
    names = TopicNames(namespace)
    with ReceiptReader(bootstrap_servers, names.receipts) as receipts:
        with Publisher(bootstrap_servers, names.inbox) as publisher:
            publisher.publish(command)
        receipt = receipts.receipt_of(command.user, command.id, timeout, command.tenant)
    _tell(receipt, timeout, as_json)


def _tell(receipt: Receipt | None, timeout: float, as_json: bool) -> None:
    """Print the receipt, and end with what it means."""
    if receipt is None:
        complain(
            f"no receipt within {timeout:g} s. The command is on its way and will be applied when a worker reads it: "
            "is one running? See prefstream_unread_records, and the worker's log."
        )
        raise typer.Exit(NO_RECEIPT)
    if as_json:
        typer.echo(encode_receipt(receipt))
    elif receipt.outcome == "refused":
        complain(receipt_line(receipt))
    else:
        typer.echo(receipt_line(receipt))
    raise typer.Exit(1 if receipt.outcome == "refused" else 0)
