"""The command line: create the topics, publish events, look at a summary, watch summaries change, audit it all."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Annotated, BinaryIO

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from prefstream.admin import apply, compare_topics, refuse
from prefstream.audit import Audit, Verdict
from prefstream.audit_reader import audit as audit_topics
from prefstream.commands import decode_record
from prefstream.connection import DEFAULT_BOOTSTRAP_SERVERS
from prefstream.errors import InvalidRecord, PrefstreamError
from prefstream.events import EventBase
from prefstream.publisher import Publisher
from prefstream.reader import Erased, SummaryReader
from prefstream.rendering import audit_report, printable, summary_panel, topics_table, version_lines
from prefstream.summaries import Summary, encode_summary
from prefstream.topics import DEFAULT_NAMESPACE, DEFAULT_NUM_PARTITIONS, TopicNames, topic_specs

app = typer.Typer(
    help="One short, readable text per user of what they like, kept current from live Kafka events.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=False,
)
AUDIT_EXIT_CODES: dict[Verdict, int] = {"holds": 0, "broken": 1, "undecided": 2}
topics = typer.Typer(help="The topics of the flow.", no_args_is_help=True)
app.add_typer(topics, name="topics")


def _show_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(version("prefstream"))
        raise typer.Exit


@app.callback()
def options(
    is_asked: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """One short, readable text per user of what they like, kept current from live Kafka events."""


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


def main() -> None:
    """The console entry point: errors that prefstream raises on purpose are one sentence and exit code 1."""
    try:
        app()
    except PrefstreamError as error:
        _complain(str(error))
        sys.exit(1)


@topics.command("create", epilog="Example: `prefstream topics create --partitions 32 --replication-factor 3 --dry-run`")
def create(
    bootstrap_servers: BootstrapServers = DEFAULT_BOOTSTRAP_SERVERS,
    namespace: Namespace = DEFAULT_NAMESPACE,
    partitions: Annotated[int, typer.Option(min=1, help="Of the keyed topics, for ever.")] = DEFAULT_NUM_PARTITIONS,
    replication_factor: Annotated[int, typer.Option(min=1, help="Copies of each partition; 3 in production.")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")] = False,
) -> None:
    """Create the topics, or change their settings to what they should be.

    Safe to repeat. What would break the flow is refused, and then nothing is touched.
    """
    specs = topic_specs(namespace, partitions, replication_factor)
    found = compare_topics(bootstrap_servers, specs)
    Console().print(topics_table(specs, found))
    refuse(found)
    if not dry_run:
        apply(bootstrap_servers, specs, found)
        Console().print(f"{len(found)} differences, all applied." if found else "Nothing to do.")


@app.command(epilog="Examples: `prefstream publish events.jsonl`, `tail -f app.jsonl | prefstream publish -`")
def publish(
    file: Annotated[typer.FileBinaryRead, typer.Argument(help="One event or command a line, in JSON; - is standard input.")],
    topic: Annotated[str | None, typer.Option(help="Another topic than the namespace's inbox.")] = None,
    bootstrap_servers: BootstrapServers = DEFAULT_BOOTSTRAP_SERVERS,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Publish events and commands, one JSON document a line.

    Every bad line is reported with its number and what is wrong with it; all others are sent, and acknowledged by the
    broker before this ends. The exit code is 1 if there was a bad line.
    """
    publisher = Publisher(bootstrap_servers, topic or TopicNames(namespace).inbox)
    num_bad = num_commands = 0
    try:
        with publisher:
            for number, line in _numbered_lines(file):
                try:
                    record = decode_record(line)
                    publisher.publish(record)
                    num_commands += not isinstance(record, EventBase)
                except InvalidRecord as error:
                    num_bad += 1
                    _complain(f"line {number}: {error}")
    finally:  # also when interrupted: what is sent is sent
        Console(stderr=True).print(f"{publisher.num_acknowledged:,} published, {num_bad:,} bad lines.")
        if num_commands:
            _complain(f"Commands among them: {num_commands:,}. Nothing acts on commands yet: each becomes a dead letter.")
    if num_bad:
        raise typer.Exit(1)


@app.command(epilog="Examples: `prefstream summary ada`, `prefstream summary ada --json | jq -r .text`")
def summary(
    user: Annotated[str, typer.Argument(help="The user's id, as it is in the events.")],
    as_json: Annotated[bool, typer.Option("--json", help="The record as it is on the topic.")] = False,
    bootstrap_servers: BootstrapServers = DEFAULT_BOOTSTRAP_SERVERS,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Show the current summary of a user, and what it is based on."""
    topic = TopicNames(namespace).summaries
    with SummaryReader(bootstrap_servers, topic, start="now") as reader:
        found = reader.current(user)
    if found is None:
        _complain(f"{topic} has no summary of {printable(user)!r}: no events yet, fewer than a flush needs, or erased.")
        raise typer.Exit(1)
    if as_json:
        typer.echo(encode_summary(found))
    else:
        Console().print(summary_panel(found, datetime.now(UTC)))


@app.command(epilog="Examples: `prefstream watch`, `prefstream watch --user ada --json`")
def watch(
    user: Annotated[str | None, typer.Option(help="Only this user.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document a line.")] = False,
    bootstrap_servers: BootstrapServers = DEFAULT_BOOTSTRAP_SERVERS,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Print every new version as it comes, with the added words green and the removed ones struck out, until Ctrl-C."""
    topic = TopicNames(namespace).summaries
    with SummaryReader(bootstrap_servers, topic, start="now") as reader:
        try:
            reader.catch_up()
            Console(stderr=True).print(Text(f"watching {topic}, until Ctrl-C", "dim"))
            for previous, record in _changes(reader, user):
                _show(previous, record, as_json)
        except KeyboardInterrupt:
            return


def _changes(reader: SummaryReader, user: str | None) -> Iterator[tuple[Summary | None, Summary | Erased]]:
    """Each new record with the version before it, if there is one."""
    latest: dict[str, Summary | Erased] = {}
    for record in reader.follow():
        if user in (None, record.user):
            previous = latest.get(record.user) or reader.known(record.user)
            latest[record.user] = record
            yield previous if isinstance(previous, Summary) else None, record


def _show(previous: Summary | None, record: Summary | Erased, as_json: bool) -> None:
    match record:
        case Summary() if as_json:
            typer.echo(encode_summary(record))
        case Summary():
            console = Console()
            console.print(version_lines(previous, record, datetime.now(UTC), console.color_system is not None))
        case Erased(user) if as_json:
            typer.echo(msgspec.json.encode({"user": user, "erased": True}))
        case Erased(user):
            Console().print(Text.assemble((printable(user), "bold"), ("  erased\n", "red")))


@app.command(epilog="Examples: `prefstream audit`, `prefstream audit --wait 60 --json | jq -r .sentence`")
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
        found = _audit(bootstrap_servers, namespace, wait)
    except PrefstreamError as error:
        _complain(str(error))
        raise typer.Exit(AUDIT_EXIT_CODES["undecided"]) from error
    if as_json:
        typer.echo(msgspec.json.encode(found))
    else:
        Console().print(audit_report(found))
    raise typer.Exit(AUDIT_EXIT_CODES[found.verdict])


def _audit(bootstrap_servers: str, namespace: str, wait_seconds: float) -> Audit:
    """The audit, with a progress bar for each topic where somebody can see it."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bars: dict[str, TaskID] = {}
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:

        def watch(topic: str, num_read: int, total: int) -> None:
            if topic not in bars:
                bars[topic] = progress.add_task(topic)
            progress.update(bars[topic], completed=num_read, total=total)

        return audit_topics(bootstrap_servers, namespace, watch, wait_seconds)


def _numbered_lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, from 1, with a progress bar where somebody can see it."""
    console = Console(stderr=True)
    columns = (TextColumn("publishing"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=_size(file))
        for number, line in enumerate(file, start=1):
            progress.advance(bar, len(line))
            if not line.isspace():
                yield number, line


def _size(file: BinaryIO) -> int | None:
    """In bytes; None for a pipe."""
    try:
        return os.fstat(file.fileno()).st_size or None
    except OSError:
        return None


def _complain(sentence: str) -> None:
    Console(stderr=True, soft_wrap=True).print(Text(printable(sentence), "red"))
