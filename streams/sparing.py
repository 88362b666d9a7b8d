"""Sparing: whether the model has to be asked at all, or the new events say nothing new (step → **sparing** → version, or call).

A user is due, and all that is there is impressions without a reaction, or favourites that are met again. The tally counts them
like any other events; the text stays, and so the version that covers them costs no call. That is so only where nothing that a
model would read has changed but the list of the events itself:

- every new event says nothing by itself: an impression without a reaction, or an item that the text names as what it is;
- the tally makes the same claims with these events as without them, about the same domains;
- the text was written by the model that would be asked, and is within the budget that it would get;
- the person has decided nothing since, keeps what they pinned, and reads nothing that they forbade.

After ``max_events`` events in a row the model is asked all the same: sameness is judged by rules, and those may miss something.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from prefstream.events import Item
from prefstream.summaries import ModelUsed, Summary, Tally
from streams.evidence import Evidence, evidence_of, is_impression, title_of
from streams.evolution.fitting import budget
from streams.evolution.guards.wording import occurs, phrases_of, words_of
from streams.evolution.prose import KINDS, MAX_ATTRIBUTE_CHARS, MAX_TITLE_CHARS, quotable
from streams.records import Arrival, decode_event
from streams.tally import levels
from streams.versions import Step


class SparePolicy(Struct, frozen=True):
    """When a call is spared: for ``max_events`` events in a row at most; 0 spares none."""

    max_events: int = 500


DEFAULT_SPARING = SparePolicy()


def step_to_spare(
    base: Summary | None,
    rows: Sequence[tuple[int, Arrival]],
    step_of: Callable[[], Step],
    model: ModelUsed,
    max_summary_tokens: int,
    policy: SparePolicy = DEFAULT_SPARING,
) -> Step | None:
    """The step that covers these rows, as ``step_of`` makes it of ``base``, or ``None`` where ``model`` is to be asked.

    ``max_summary_tokens`` are those of a summary of one domain. Nearly always the first event tells something: that takes
    microseconds, the step half a millisecond.
    """
    if base is None or not all(_says_nothing(evidence_of(decode_event(arrival)), base) for _, arrival in rows):
        return None
    step = step_of()
    return step if adds_nothing(step, model, budget(max_summary_tokens, len(step.tally.domains)), policy) else None


def adds_nothing(step: Step, model: ModelUsed, max_tokens: int, policy: SparePolicy = DEFAULT_SPARING) -> bool:
    """Whether the step's events leave all as it is that ``model`` would be asked about, with ``max_tokens`` for a text."""
    base = step.base
    return (
        base is not None
        and base.num_spared_events + len(step.offsets) <= policy.max_events
        and _is_current(base, step, model, max_tokens)
        and all(_says_nothing(one, base) for one in step.evidence)
        and _claims(base.tally) == _claims(step.tally)
    )


def _is_current(base: Summary, step: Step, model: ModelUsed, max_tokens: int) -> bool:
    """Whether the text is the model's last word on what the person wants."""
    controls, words = step.controls, words_of(base.text)
    return (
        base.reason != "control"
        and base.command_position == controls.applied_position
        and base.model == model
        and base.tokens <= max_tokens
        and all(occurs(phrase, words) for phrase in phrases_of(step.kept))
        and not any(occurs(phrase, words) for phrase in phrases_of(controls.nevers))
    )


def _says_nothing(evidence: Evidence, base: Summary) -> bool:
    if is_impression(evidence):
        return True
    if evidence.quote or evidence.query:
        return False
    items = [*([evidence.chosen] if evidence.chosen else []), *evidence.rejected]
    return all(_is_told(item, evidence, base) for item in items)


def _is_told(item: Item, evidence: Evidence, base: Summary) -> bool:
    """Whether tally and text have the item already, on the side where the event puts it."""
    domain = base.tally.domains.get(quotable(evidence.domain, MAX_ATTRIBUTE_CHARS))
    title = quotable(title_of(item), MAX_TITLE_CHARS)
    if domain is None or not title:
        return False
    if not evidence.strength:  # three stars of five are on neither side
        return False
    is_liked = evidence.strength > 0 and item is evidence.chosen
    mentions = domain.favourites if is_liked else domain.dislikes
    return any(one.title == title for one in mentions) and f'"{title}"' in base.text


def _claims(tally: Tally) -> tuple[set[str], dict[str, dict[str, set[str]]]]:
    """Its domains, and what it says of each; the order within a list changes with every event, and is no claim."""
    claims = {section.domain: {kind: set(getattr(section, kind)) for kind in KINDS} for section in levels(tally).sections}
    return set(tally.domains), claims
