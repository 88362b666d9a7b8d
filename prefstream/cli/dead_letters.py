"""`prefstream dead-letters`: look at what could not be taken in, and have it taken in again or give it up."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Annotated, Literal, NamedTuple, get_args

import msgspec
import typer
from msgspec.structs import asdict
from rich.console import Console
from rich.text import Text

from prefstream.cli.options import BootstrapServers, Namespace
from prefstream.cli.terminal import complain, progress_bar, reading_bars
from prefstream.connection import DEFAULT_BOOTSTRAP_SERVERS
from prefstream.dead_letters import DeadLetter, DeadLetterReason, LetterState, encode_letter
from prefstream.errors import PrefstreamError
from prefstream.letter_box import Settlement, read_stories, read_whole
from prefstream.letter_stories import Story, Wanted, in_batches, named
from prefstream.rendering import counted
from prefstream.rendering.letters import letters_list, story_panel, totals_table
from prefstream.replays import why_not
from prefstream.security import Servers
from prefstream.topics import DEFAULT_NAMESPACE, TopicNames

dead_letters = typer.Typer(help="What could not be taken in: look at it, replay it, drop it.", no_args_is_help=True)

Ids = Annotated[list[str] | None, typer.Argument(help="As `list` shows them.", show_default=False)]


def _check_reasons(reasons: list[str] | None) -> list[str] | None:
    for reason in reasons or ():
        if reason not in get_args(DeadLetterReason):
            raise typer.BadParameter(f"{reason!r} is no reason: use one of {', '.join(get_args(DeadLetterReason))}.")
    return reasons


Reasons = Annotated[
    list[str] | None, typer.Option("--reason", callback=_check_reasons, help="Only with this reason; repeatable.")
]
Sources = Annotated[list[str] | None, typer.Option("--source", help="Only from this topic; repeatable.")]
All = Annotated[bool, typer.Option("--all", help="All of them.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

_FAILED = 1
_WRONG_USE = 2
_NUM_SHOWN = 20


class _Asked(NamedTuple):
    """Which letters to settle: by id, or all that are wanted."""

    ids: list[str]
    wanted: Wanted
    everything: bool

    def check(self) -> None:
        """Raises typer.BadParameter unless exactly one of the ways to say it is used."""
        filters = bool(self.wanted.reasons or self.wanted.sources)
        if sum((bool(self.ids), filters, self.everything)) != 1:
            raise typer.BadParameter("say which, in one way: ids, or --reason and --source, or --all.")

    def choose(self, found: Sequence[Story]) -> list[Story]:
        """The stories that are meant. Ends the program if an id means none, or one that is not in the wanted state."""
        if not self.ids:
            return [story for story in found if story in self.wanted]
        chosen, problems = named(self.ids, found)
        for story in chosen:
            if story not in self.wanted:
                hint = " Name it with `--state replayed` if you mean it." if story.letter.state == "replayed" else ""
                problems.append(f"{story.id} is {story.letter.state} already.{hint}")
        if problems:
            _end(problems, _WRONG_USE)
        return chosen


def _wanted(reason: list[str] | None, source: list[str] | None, state: LetterState | None) -> Wanted:
    return Wanted(tuple(reason or ()), tuple(source or ()), state)


def _end(sentences: Sequence[str], exit_code: int) -> None:
    for sentence in sentences:
        complain(sentence)
    raise typer.Exit(exit_code)


def _read(bootstrap_servers: Servers, names: TopicNames) -> list[Story]:
    with reading_bars() as watch:
        return read_stories(bootstrap_servers, names, watch)


@dead_letters.command(
    "list",
    epilog="Examples: `prefstream dead-letters list`, `prefstream dead-letters list --reason invalid --json | jq -r .id`",
)
def list_letters(
    reason: Reasons = None,
    source: Sources = None,
    state: Annotated[Literal["open", "replayed", "dropped", "all"], typer.Option(help="In which state.")] = "open",
    limit: Annotated[int, typer.Option(min=1, help="Show so many, the newest first; the totals count all.")] = _NUM_SHOWN,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document a line, without the records' bytes.")] = False,
    bootstrap_servers: BootstrapServers = DEFAULT_BOOTSTRAP_SERVERS,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """List what could not be taken in, the newest first, and count it by reason and source."""
    found = _read(bootstrap_servers, TopicNames(namespace))
    chosen = [story for story in found if story in _wanted(reason, source, None if state == "all" else state)]
    if as_json:
        for story in chosen[:limit]:
            typer.echo(msgspec.json.encode({"id": story.id, **_without_bytes(story.letter)}))
    elif chosen:
        _show_many(chosen, limit)
    else:
        Console().print(_nothing(found))


def _without_bytes(letter: DeadLetter) -> dict[str, object]:
    """Every field, also those that are as usual."""
    return {name: value for name, value in asdict(letter).items() if name not in ("key", "value", "headers")}


def _show_many(chosen: Sequence[Story], limit: int) -> None:
    console = Console()
    console.print(letters_list(chosen[:limit], datetime.now(UTC), console.width))
    if len(chosen) > limit:
        console.print(Text(f"… and {len(chosen) - limit:,} more: --limit shows them", "dim"))
    console.print()
    console.print(totals_table(chosen))


def _nothing(found: Sequence[Story]) -> str:
    if not found:
        return "No dead letters: everything could be taken in."
    return f"No such dead letter, of {len(found):,} in all: `list --state all` shows them."


@dead_letters.command(
    "show",
    epilog="Examples: `prefstream dead-letters show ratings/0/41`, `prefstream dead-letters show ratings/0/41 --raw > record`",
)
def show(
    id: Annotated[str, typer.Argument(help="As `list` shows it.")],
    as_json: Annotated[bool, typer.Option("--json", help="The letter as it is on the topic.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="The record's value and nothing else, to put right by hand.")] = False,
    bootstrap_servers: BootstrapServers = DEFAULT_BOOTSTRAP_SERVERS,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Show everything that is known of one dead letter."""
    names = TopicNames(namespace)
    chosen, problems = named([id], _read(bootstrap_servers, names))
    for story in chosen:
        for letter in read_whole(bootstrap_servers, names, [story.newest]).values():
            _show_one(story, letter, as_json, raw)
            return
    _end(problems or [f"{id} was replaced at this moment: ask again."], _WRONG_USE)


def _show_one(story: Story, letter: DeadLetter, as_json: bool, raw: bool) -> None:
    if raw:
        sys.stdout.buffer.write(letter.value or b"")
    elif as_json:
        typer.echo(encode_letter(letter))
    else:
        Console().print(story_panel(story, letter, datetime.now(UTC)))


@dead_letters.command(
    "replay",
    epilog="Examples: `prefstream dead-letters replay ratings/0/41`, `prefstream dead-letters replay --all --dry-run`",
)
def replay(
    ids: Ids = None,
    reason: Reasons = None,
    source: Sources = None,
    everything: All = False,
    state: Annotated[Literal["open", "replayed"], typer.Option(help="Replayed ones once more change nothing.")] = "open",
    dry_run: DryRun = False,
    yes: Yes = False,
    bootstrap_servers: BootstrapServers = DEFAULT_BOOTSTRAP_SERVERS,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Have dead letters taken in again, when what was wrong is put right: a mapping, a setting, a version.

    Nothing is counted twice, however often it is done; what fails again is a dead letter again, with one try more. The exit
    code is 0 if all of them are replayed, 1 if one cannot be.
    """
    asked = _Asked(ids or [], _wanted(reason, source, state), everything)
    asked.check()
    _settle("replay", asked, _Flow(bootstrap_servers, TopicNames(namespace)), _replay, dry_run=dry_run, yes=yes)


@dead_letters.command(
    "drop",
    epilog="Examples: `prefstream dead-letters drop ratings/0/41`, `prefstream dead-letters drop --reason undecodable`",
)
def drop(
    ids: Ids = None,
    reason: Reasons = None,
    source: Sources = None,
    everything: All = False,
    state: Annotated[Literal["open", "replayed"], typer.Option(help="Replayed ones still have their bytes.")] = "open",
    dry_run: DryRun = False,
    yes: Yes = False,
    bootstrap_servers: BootstrapServers = DEFAULT_BOOTSTRAP_SERVERS,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Give dead letters up: what the records were made of goes, where they came from and why they were refused stays.

    The bytes leave the disk when the broker compacts the topic, a day later or two. There is no way back.
    """
    asked = _Asked(ids or [], _wanted(reason, source, state), everything)
    asked.check()
    _settle("drop", asked, _Flow(bootstrap_servers, TopicNames(namespace)), _drop, dry_run=dry_run, yes=yes)


class _Flow(NamedTuple):
    """Whose dead letters, and where."""

    bootstrap_servers: Servers
    names: TopicNames


Act = Callable[[_Flow, Settlement | None, Sequence[Story]], list[str]]
"""Settles so many stories in one transaction; without a settlement tries what it can. Returns why some could not be."""

_DONE = {"replay": "replayed", "drop": "dropped"}


def _settle(verb: Literal["replay", "drop"], asked: _Asked, flow: _Flow, act: Act, *, dry_run: bool, yes: bool) -> None:
    with ExitStack() as opened:
        settlement = None if dry_run else opened.enter_context(Settlement(*flow))
        found = _read(*flow)
        chosen = asked.choose(found)
        if not chosen:
            Console().print(_nothing(found))
            return
        refused = _act("check", act, flow, None, chosen)
        _confirm(verb, chosen, len(refused), is_needless=dry_run or yes or len(refused) == len(chosen))
        if settlement is not None:
            refused = _act(verb, act, flow, settlement, chosen)
    would = "would be " if dry_run else ""
    Console().print(f"{_so_many(chosen, len(refused))} {would}{_DONE[verb]}.")
    if refused:
        _end(refused, _FAILED)


def _so_many(chosen: Sequence[Story], num_refused: int) -> str:
    part = f"{len(chosen) - num_refused:,} of " if num_refused else ""
    return f"{part}{counted(len(chosen), 'dead letter')}"


def _confirm(verb: str, chosen: Sequence[Story], num_refused: int, *, is_needless: bool) -> None:
    """Show what it is about, and ask. Ends the program unless the answer is yes."""
    console = Console()
    if len(chosen) == 1:
        console.print(letters_list(chosen, datetime.now(UTC), console.width))
    else:
        console.print(totals_table(chosen))
    if is_needless:
        return
    refusals = f" {num_refused:,} cannot be: --dry-run says why." if num_refused else ""
    try:
        if typer.confirm(f"{verb.capitalize()} {_so_many(chosen, num_refused)}?{refusals}"):
            return
    except typer.Abort:
        Console().print()
        _end(["Nothing was done: nobody answered. Where nobody can be asked, say --yes."], _WRONG_USE)
    _end(["Nothing was done."], _FAILED)


def _act(verb: str, act: Act, flow: _Flow, settlement: Settlement | None, chosen: Sequence[Story]) -> list[str]:
    """Act on all of them, a batch at a time; only look, without a settlement. Returns why some cannot be settled."""
    refused: list[str] = []
    num_done = 0
    with progress_bar() as progress:
        bar = progress.add_task(verb, total=len(chosen))
        try:
            for batch in in_batches(chosen):
                refused += act(flow, settlement, batch)
                num_done += len(batch)
                progress.update(bar, completed=num_done)
        except (PrefstreamError, KeyboardInterrupt):
            if settlement is not None:
                complain(f"Before it was interrupted: {counted(num_done - len(refused), 'dead letter')} {_DONE[verb]}.")
            raise
    return refused


def _replay(flow: _Flow, settlement: Settlement | None, batch: Sequence[Story]) -> list[str]:
    whole = read_whole(*flow, [story.newest for story in batch])
    problems = {story: _problem(whole.get(story.newest), flow.names) for story in batch}
    letters = [(story.newest, whole[story.newest]) for story in batch if not problems[story]]
    if settlement is not None and letters:
        settlement.replay(letters)
    return [f"{story.id}: {problem}." for story, problem in problems.items() if problem]


def _problem(letter: DeadLetter | None, names: TopicNames) -> str:
    return "it was replaced at this moment" if letter is None else why_not(letter, names)


def _drop(_: _Flow, settlement: Settlement | None, batch: Sequence[Story]) -> list[str]:
    """Drops all letters of a story: what was replayed and failed again holds the same bytes as the first."""
    if settlement is not None:
        settlement.drop([one for story in batch for one in story.filed if one.letter.state != "dropped"])
    return []
