"""`prefstream rebuild start | status | compare | promote | roll-back | discard`.

Every one of them can be interrupted and repeated: what is done is done, and the next run does the rest.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console, Group

from prefstream.cli.options import BootstrapServers, Namespace, Tenant, checked_text
from prefstream.cli.terminal import confirm, progress_bar, reading_bars
from prefstream.connection import DEFAULT_BOOTSTRAP_SERVERS
from prefstream.diffs import has_colours
from prefstream.errors import CannotRebuild
from prefstream.reading import TopicReading
from prefstream.rebuild.comparison import compare as compare_pairs
from prefstream.rebuild.promotion import Asking, Outcome, Promoting
from prefstream.rebuild.promotion import give_back as give_back_texts
from prefstream.rebuild.promotion import promote as promote_texts
from prefstream.rebuild.promotion import standings as standings_now
from prefstream.rebuild.shadow import begin, progress_of, topics_of
from prefstream.rebuild.shadow import discard as discard_topics
from prefstream.rebuild.sides import Both, find_both, pairs, shadow_called
from prefstream.rebuild.standings import is_in_share
from prefstream.rendering import counted
from prefstream.rendering.rebuild import beginning_lines, comparison_report, outcome_lines, progress_lines, standings_lines
from prefstream.security import Servers
from prefstream.tenants import key_of
from prefstream.topics import DEFAULT_NAMESPACE, TopicNames

SECRET = "PREFSTREAM_REBUILD_KEY"

rebuild = typer.Typer(help="All summaries with another model or prompt, in a shadow first.", no_args_is_help=True)

Word = Annotated[
    str, typer.Argument(metavar="NAME", help="The shadow's name: its namespace is PREFSTREAM_NAMESPACE.shadow-NAME.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document.")]
Share = Annotated[float, typer.Option(min=0, max=1, help="Of all users; who is in a smaller share is in a larger one.")]
User = Annotated[str | None, typer.Option(callback=checked_text, help="Only this user.")]
MinKnown = Annotated[
    float, typer.Option(min=0, max=1, help="Of the events of a published text, the share that the shadow has to know.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")]


@rebuild.command("start", epilog="Example: `prefstream rebuild start next`")
def start(
    word: Word,
    as_json: AsJson = False,
    bootstrap_servers: BootstrapServers = DEFAULT_BOOTSTRAP_SERVERS,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Create the topics of a shadow, and say how its workers are started. Safe to repeat."""
    found = begin(bootstrap_servers, TopicNames(namespace), word)
    _print(found, lambda: Group(*beginning_lines(found)), as_json)


@rebuild.command("status", epilog="Examples: `prefstream rebuild status next`, `prefstream rebuild status next --json`")
def status(
    word: Word,
    as_json: AsJson = False,
    min_known: MinKnown = 1.0,
    bootstrap_servers: BootstrapServers = DEFAULT_BOOTSTRAP_SERVERS,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Show how far the shadow is: in events, and in users."""
    both = find_both(bootstrap_servers, TopicNames(namespace), word)
    progress = progress_of(bootstrap_servers, both.live, both.shadow)
    with reading_bars() as watch:
        counts = standings_now(bootstrap_servers, _everybody(both, min_known), watch)
    told = msgspec.structs.asdict(progress) | {"standings": dict(counts)}
    _print(told, lambda: Group(*progress_lines(progress), *standings_lines(counts, counts.total())), as_json)


@rebuild.command(
    "compare", epilog="Examples: `prefstream rebuild compare next`, `... --share 0.05 --examples 5`, `... --user ada`"
)
def compare(
    word: Word,
    share: Share = 1.0,
    user: User = None,
    tenant: Tenant = "",
    examples: Annotated[int, typer.Option(min=0, help="Texts to show side by side, always the same ones.")] = 3,
    min_known: MinKnown = 1.0,
    as_json: AsJson = False,
    bootstrap_servers: BootstrapServers = DEFAULT_BOOTSTRAP_SERVERS,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Show how the shadow's texts differ from the published ones. It changes nothing."""
    both = find_both(bootstrap_servers, TopicNames(namespace), word)
    what = _promoting(both, share, user, tenant, min_known, 0.0)
    with reading_bars() as watch, TopicReading(bootstrap_servers, watch, "read_uncommitted") as reading:
        everybody = (pair for number in what.partitions for pair in pairs(reading, both, number))
        found = compare_pairs((pair for pair in everybody if what.chosen(pair.key)), examples, min_known)
    _print(found, lambda: comparison_report(found, has_colours(Console())), as_json)


@rebuild.command(
    "promote", epilog="Examples: `prefstream rebuild promote next --share 0.05`, `... --wait 600`, `... --user ada --dry-run`"
)
def promote(
    word: Word,
    share: Share = 1.0,
    user: User = None,
    tenant: Tenant = "",
    min_known: MinKnown = 1.0,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to go on with those who are ahead or behind.")] = 60.0,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    bootstrap_servers: BootstrapServers = DEFAULT_BOOTSTRAP_SERVERS,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Have the shadow's texts published, of those users whose text is of the same events and wishes. Safe to repeat.

    The exit code is 0 if everybody has the shadow's text now, and 1 if somebody has not.
    """
    both = find_both(bootstrap_servers, TopicNames(namespace), word)
    what = _promoting(both, share, user, tenant, min_known, wait)
    if dry_run:
        with reading_bars() as watch:
            counts = standings_now(bootstrap_servers, what, watch)
        outcome = Outcome(standings=dict(counts))
    else:
        with _asking(bootstrap_servers, both) as asking, reading_bars() as watch:
            outcome = promote_texts(bootstrap_servers, what, asking, _now, watch)
    _print(outcome, lambda: Group(*outcome_lines(outcome)), as_json)
    raise typer.Exit(0 if dry_run or set(outcome.standings) <= {"same"} else 1)


@rebuild.command("roll-back", epilog="Examples: `prefstream rebuild roll-back next`, `... --user ada`")
def roll_back(
    word: Word,
    share: Share = 1.0,
    user: User = None,
    tenant: Tenant = "",
    as_json: AsJson = False,
    bootstrap_servers: BootstrapServers = DEFAULT_BOOTSTRAP_SERVERS,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Give everybody the text from before the promotion, also where events have changed it since. Safe to repeat."""
    both = find_both(bootstrap_servers, TopicNames(namespace), word)
    what = _promoting(both, share, user, tenant, 1.0, 0.0)
    with _asking(bootstrap_servers, both) as asking, reading_bars() as watch:
        outcome = give_back_texts(bootstrap_servers, what, asking, _now, watch)
    _print(outcome, lambda: Group(*outcome_lines(outcome)), as_json)
    raise typer.Exit(1 if "refused" in outcome.standings else 0)


@rebuild.command("discard", epilog="Example: `prefstream rebuild discard next --yes`")
def discard(
    word: Word,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    bootstrap_servers: BootstrapServers = DEFAULT_BOOTSTRAP_SERVERS,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Delete the topics of the shadow, when its workers are stopped. A promotion cannot be rolled back after that."""
    shadow = shadow_called(TopicNames(namespace), word)
    topics = topics_of(bootstrap_servers, shadow)
    if topics and not yes:
        confirm(f"Delete {counted(len(topics), 'topic')} of {shadow.namespace}? No promotion from it can be rolled back then.")
    discard_topics(bootstrap_servers, shadow, topics)
    typer.echo(f"{shadow.namespace}: {counted(len(topics), 'topic')} deleted." if topics else "Nothing to do.")


def _everybody(both: Both, min_known: float) -> Promoting:
    return Promoting(both, lambda key: True, tuple(range(both.num_partitions)), min_known)


def _promoting(both: Both, share: float, user: str | None, tenant: str, min_known: float, wait: float) -> Promoting:
    """Who is meant: one user, or a share of all."""
    if user is None:
        if tenant:
            raise typer.BadParameter("is for one user: add --user", param_hint="--tenant")
        return Promoting(both, lambda key: is_in_share(key, share), tuple(range(both.num_partitions)), min_known, wait)
    wanted = key_of(tenant, user)
    return Promoting(both, lambda key: key == wanted, (both.partition_of(wanted),), min_known, wait)


@contextmanager
def _asking(bootstrap_servers: Servers, both: Both) -> Iterator[Asking]:
    """The way to the installation, and a line that says what became of the commands so far."""
    secret = _secret(both.live.namespace)
    with progress_bar() as progress:
        asked = progress.add_task("decided", total=None)

        def told(outcomes: Counter[str]) -> None:
            progress.update(asked, completed=outcomes.total())

        with Asking(bootstrap_servers, both, secret, told) as asking:
            yield asking


def _now() -> datetime:
    return datetime.now(UTC)


def _print(found: Any, report: Callable[[], Group], as_json: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.encode(found))
    else:
        Console().print(report())


def _secret(namespace: str) -> str:
    secret = os.environ.get(SECRET, "")
    if len(secret) < 16:
        raise CannotRebuild(f"{SECRET}: give this command and the workers of {namespace} the same, of 16 characters or more")
    try:
        secret.encode()
    except UnicodeEncodeError:
        raise CannotRebuild(
            f"{SECRET}: it is no UTF-8: write a secret as text, 32 random bytes for example as base64"
        ) from None
    return secret
