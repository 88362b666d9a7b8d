"""Fitting: as many due events as a prompt has room for, so that no call fails of its length (dispatch → **fitting** → client).

Nearly always all of them fit. Where they do not, this gives way, in this order, each found by bisection:

1. ``summary``: of an old text that takes more than half of the room, somebody's long edit, the end;
2. ``tally``: of a tally that leaves less than a quarter of the room, the older titles and words, then whole domains;
3. ``events``: the newest of the due events. They stay pending and are due again;
4. ``words``: of a single event its attributes, then the ends of its texts.

Only a prefix of the events can be taken: what a summary covers is a position. What gives way is left out of the prompt alone:
the tally that is stored has counted every event it covers, all its words, and the stored text is what it was. A prompt that has
no room for a single short event is written all the same, and the server says so.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from prefstream.events import Item
from prefstream.summaries import DomainTally, Tally
from streams.evidence import Evidence
from streams.evolution.dialects import Dialect
from streams.evolution.records import Prompt, Update
from streams.tally import fold
from streams.tokens import estimate_tokens
from streams.versions import Step
from streams.weights import DEFAULT_POLICY

Cut = Literal["summary", "tally", "events", "words"]

MARGIN_TOKENS = 128
"""What the chat template puts around the turns, and what a firm prompt says more."""


def estimate_prompt_tokens(prompt: Prompt) -> int:
    """The tokens of the turns, estimated on the high side."""
    return sum(estimate_tokens(turn.content) for turn in prompt.turns)


class Context(Struct, frozen=True):
    """How many tokens prompt and answer may have together, a thought not among them, and how those of a prompt are counted.

    The default is for a server of which nothing is known: more than a flush ever needs, so that nothing is cut without need.
    """

    max_tokens: int = 32_768
    count_tokens: Callable[[Prompt], int] = estimate_prompt_tokens

    def taken_by(self, prompt: Prompt) -> int:
        """The tokens that the prompt and its answer take of it."""
        return self.count_tokens(prompt) + prompt.max_tokens + MARGIN_TOKENS


class Fitted(Struct, frozen=True):
    """What one call takes of the due events, its prompt, and what of it gave way."""

    step: Step
    update: Update
    prompt: Prompt
    cuts: tuple[Cut, ...] = ()


def budget(max_tokens: int, num_domains: int) -> int:
    """The tokens of a summary of so many domains: half as many again as of one, where there are several.

    In the room of one, two domains keep three titles each of six.
    """
    return max_tokens * 3 // 2 if num_domains > 1 else max_tokens


def fit(step_of: Callable[[int], Step], num_events: int, max_summary_tokens: int, dialect: Dialect, context: Context) -> Fitted:
    """The call that takes as many of the ``num_events`` due events (at least one) as fit, the oldest first.

    ``step_of`` gives the step that covers so many of them, ``max_summary_tokens`` are those of a summary of one domain.
    """
    step = step_of(num_events)
    tokens = budget(max_summary_tokens, len(step.tally.domains))
    update = Update(step.old_text, step.tally, step.evidence, step.kept, tokens, covered_at_seconds=step.covered_at_seconds)
    prompt = dialect.write_prompt(update)
    if context.taken_by(prompt) <= context.max_tokens:
        return Fitted(step, update, prompt)
    return _cut_to_fit(step_of, step, update, dialect, context)


def _cut_to_fit(step_of: Callable[[int], Step], due: Step, whole: Update, dialect: Dialect, context: Context) -> Fitted:
    def taken(update: Update) -> int:
        return context.taken_by(dialect.write_prompt(update))

    constant = taken(replace(whole, old_text="", tally=Tally(), evidence=()))
    room = context.max_tokens - constant
    text = _short_text(whole, taken, constant + room // 2)
    frame = replace(whole, old_text=text)
    most_of_tally = _room_for_tally(frame, taken, constant + room * 3 // 4)
    # Counted once: an event with many attributes takes milliseconds, and the bisection asks for many prefixes.
    before = due.base.tally if due.base else Tally()
    tallies = list(accumulate(due.evidence, lambda tally, event: fold(tally, (event,)), initial=before))

    def of_first(number: int) -> Update:
        return replace(frame, tally=_smaller(tallies[number], *most_of_tally), evidence=due.evidence[:number])

    num_events = max(1, _most(len(whole.evidence), context.max_tokens, lambda number: taken(of_first(number))))
    if num_events == 1:  # what later events took out of the tally again was not reckoned with
        most_of_tally = _room_for_tally(replace(frame, tally=tallies[1]), taken, constant + room * 3 // 4)
    step, update = step_of(num_events), of_first(num_events)
    shortened = _with_short_words(update, taken, context.max_tokens) if num_events == 1 else update
    cuts: dict[Cut, bool] = {
        "summary": text != whole.old_text,
        "tally": update.tally != step.tally,
        "events": num_events < len(whole.evidence),
        "words": shortened != update,
    }
    return Fitted(step, shortened, dialect.write_prompt(shortened), tuple(cut for cut, is_made in cuts.items() if is_made))


def _most(number: int, max_tokens: int, taken: Callable[[int], int]) -> int:
    """The largest of 0 to ``number`` that takes no more, 0 if none: as if more of it always took more."""
    return number if taken(number) <= max_tokens else bisect_right(range(1, number), max_tokens, key=taken)


def _short_text(update: Update, taken: Callable[[Update], int], max_tokens: int) -> str:
    """As much of the old text as fits without tally and events."""
    text = update.old_text

    def with_first(num_chars: int) -> Update:
        return replace(update, old_text=_cut(text, num_chars), tally=Tally(), evidence=())

    return _cut(text, _most(len(text), max_tokens, lambda number: taken(with_first(number))))


def _room_for_tally(update: Update, taken: Callable[[Update], int], max_tokens: int) -> tuple[int, int]:
    """How many domains there is room for, and how many titles and words of each kind in them."""

    def with_tally(num_domains: int, num_mentions: int) -> Update:
        return replace(update, tally=_smaller(update.tally, num_domains, num_mentions), evidence=())

    every = len(update.tally.domains)
    num_mentions = _most(DEFAULT_POLICY.max_favourites, max_tokens, lambda number: taken(with_tally(every, number)))
    return _most(every, max_tokens, lambda number: taken(with_tally(number, num_mentions))), num_mentions


def _smaller(tally: Tally, num_domains: int, num_mentions: int) -> Tally:
    """The domains with most events, and what was newest in them."""
    largest = sorted(tally.domains, key=lambda name: -tally.domains[name].num_events)[:num_domains]
    domains = {name: _newest(domain, num_mentions) for name, domain in tally.domains.items() if name in largest}
    return replace(tally, domains=domains)


def _newest(domain: DomainTally, number: int) -> DomainTally:
    return replace(
        domain,
        favourites=domain.favourites[:number],
        dislikes=domain.dislikes[:number],
        searches=domain.searches[:number],
        quotes=domain.quotes[:number],
    )


def _with_short_words(update: Update, taken: Callable[[Update], int], max_tokens: int) -> Update:
    """The same with as much of its one event as fits."""
    if taken(update) <= max_tokens:
        return update
    (event,) = update.evidence

    def with_words(max_chars: int) -> Update:
        return replace(update, evidence=(_shortened(event, max_chars),))

    max_chars = _most(_longest(event), max_tokens, lambda number: taken(with_words(number)))
    return with_words(max(1, max_chars))


def _longest(event: Evidence) -> int:
    items = [item for item in (event.chosen, *event.rejected) if item]
    return max(map(len, [event.query, event.quote, *(text for item in items for text in (item.title, item.id))]))


def _shortened(event: Evidence, max_chars: int) -> Evidence:
    """The event without attributes, and with no text longer than so many characters."""

    def short(item: Item) -> Item:
        return Item(id=_cut(item.id, max_chars), title=_cut(item.title, max_chars))

    return replace(
        event,
        query=_cut(event.query, max_chars),
        quote=_cut(event.quote, max_chars),
        chosen=short(event.chosen) if event.chosen else None,
        rejected=tuple(map(short, event.rejected)),
    )


def _cut(text: str, num_chars: int) -> str:
    """The first so many characters, an ellipsis for the last of them where more were there."""
    if len(text) <= num_chars:
        return text
    return text[: num_chars - 1].rstrip() + "…" if num_chars else ""
