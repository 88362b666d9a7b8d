"""How receipts read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from prefstream.receipts import Erasure, Receipt, RefusalReason
from prefstream.rendering import counted, printable

REFUSALS: dict[RefusalReason, str] = {
    "unknown_user": "nothing is known of this user",
    "empty": "there are no words in it",
    "too_long": "it is too long",
    "no_room": "what is to be kept would leave no room for anything else",
    "markup": "it holds tags or tokens that a model takes for its own",
    "instruction": "it speaks to a model, not about the person",
    "contradicts_never": "it says what a `never` forbids",
    "sensitive": "it speaks of a matter of which nothing is kept unless you `allow` that first",
    "not_pinned": "there is no such pin",
    "not_forbidden": "there is no such `never`",
    "no_such_version": "there is no such version",
    "not_kept": "that version is not kept any more",
    "too_many": "there are too many of these",
    "not_signed": "it does not carry this installation's signature",
    "moved_on": "it was made for another version",
    "opted_out": "they have opted out",
    "rejected": "a guard keeps the old text",
    "unprocessable": "prefstream failed on it",
}
_NUMBERED: frozenset[RefusalReason] = frozenset(
    {"too_long", "no_room", "no_such_version", "not_kept", "too_many", "unprocessable"}
)
"""Of these the message adds a figure or a place; of the others it is a sentence of its own, which says more than ours."""


def receipt_line(receipt: Receipt) -> str:
    """What became of the command, in a sentence; of a `forget` a line for each date, too."""
    command = printable(receipt.command.replace("_", "-"))
    match receipt.outcome:
        case "applied" if receipt.erasure:
            return f"{command}: {_erased(receipt.erasure)}"
        case "applied":
            made = f"version {receipt.version} says so" if receipt.version else "there is no summary yet to show it"
            message = _ended(printable(receipt.message))
            more = f" {message[0].upper()}{message[1:]}" if receipt.message else ""
            return f"{command}: applied; {made}.{more}"
        case "unchanged":
            return f"{command}: nothing to do, it is so already."
        case "refused":
            return f"{command}: refused, because {_ended(printable(_why(receipt)))}"


def _why(receipt: Receipt) -> str:
    why = REFUSALS.get(receipt.reason, receipt.reason)
    if not receipt.message:
        return why
    return f"{why} ({receipt.message})" if receipt.reason in _NUMBERED else receipt.message


def _ended(words: str) -> str:
    return words if words.endswith("?") else f"{words}."


def _erased(erasure: Erasure) -> str:
    """What is gone; what goes by itself and by when, the soonest first; and what is somebody else's."""
    given_up = f" and {counted(erasure.num_given_up, 'event')} given up" if erasure.num_given_up else ""
    gone = f"erased: {counted(erasure.num_applied, 'event')} of the summary, {erasure.num_pending:,} that waited{given_up}."
    if not erasure.kept_until:
        return gone
    older = "Older copies lie in Kafka's logs, where nothing in prefstream reads them, at the latest until"
    others = ", ".join(map(printable, erasure.not_reached))
    beyond = [f"Not reached, because they are the platform's: {others}."] if others else []
    return "\n".join((gone, older, *_by_date(erasure.kept_until), *beyond))


def _by_date(kept_until: Mapping[str, datetime | None]) -> Iterator[str]:
    dates = sorted(
        (until is None, f"{until:%Y-%m-%d %H:%M} UTC" if until else "for ever", topic) for topic, until in kept_until.items()
    )
    for _, date, topic in dates:
        yield f"  {date:20}  {printable(topic)}"
