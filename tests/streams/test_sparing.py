"""A call is spared only where nothing changed that a model would be asked about, and what is counted is the same either way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from model_server.counting import complete
from prefstream.dead_letters import Origin
from prefstream.events import Choice, Click, Comment, Event, Feedback, Item, Message, Post, Purchase, Rating, Search, Skip, View
from prefstream.summaries import ModelUsed, Summary
from streams.controls import Controls
from streams.evolution.claims import Claim, claims_of
from streams.evolution.plain import write_prompt
from streams.evolution.prose import parse
from streams.evolution.records import Completion
from streams.records import Arrival, encode_event
from streams.sparing import DEFAULT_SPARING, SparePolicy, adds_nothing, step_to_spare
from streams.versions import Step, next_summary, spared_summary, step_from

AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)
MODEL = ModelUsed(name="counting", dialect="plain", prompt_sha256="abc")
CONTROLS = Controls(9, 8, ("Never on Sundays.",), nevers=("gore",))
MAX_TOKENS = 160
HEAT, SPAWN = Item(id="1", title="Heat", attributes={"genre": ("crime",)}), Item(id="2", title="Spawn")
UNKNOWN = Item(id="9", title="Nobody Saw It")
WHO: Any = {"user": "ada", "at": AT, "domain": "films"}
LIKED = [Rating(**WHO, item=HEAT, value=5)] * 6 + [Rating(**WHO, item=SPAWN, value=1)]


def rows_of(events: Sequence[Event], first_offset: int = 0) -> list[tuple[int, Arrival]]:
    return [
        (offset, Arrival(Origin("T1", 0, offset), 500, 9, f"id{offset}", msgspec.Raw(encode_event(event))))
        for offset, event in enumerate(events, first_offset)
    ]


def asked(step: Step) -> Summary:
    """The version that the counting engine's answer makes."""
    return next_summary(step, answer_to(step), 30, MODEL, AT)


def answer_to(step: Step) -> str:
    prompt = write_prompt(step.old_text, step.tally, step.evidence, MAX_TOKENS, step.kept)
    completion = complete(prompt)
    assert isinstance(completion, Completion)
    return completion.text


BASE = asked(step_from(b"ada", None, rows_of(LIKED), "size", CONTROLS))


def step_of(*events: Event, base: Summary | None = BASE, controls: Controls = CONTROLS) -> Step:
    return step_from(b"ada", base, rows_of(events, 20), "size", controls)


def is_spared(*events: Event, base: Summary | None = BASE, controls: Controls = CONTROLS) -> bool:
    return adds_nothing(step_of(*events, base=base, controls=controls), MODEL, MAX_TOKENS)


def test_the_base_says_what_the_tables_below_rest_on() -> None:
    assert BASE.text == 'Never on Sundays.\nLoves crime. Favourites: "Heat". Did not enjoy: "Spawn".'


@pytest.mark.parametrize(
    "event",
    [
        Skip(**WHO, item=UNKNOWN),
        View(**WHO, item=UNKNOWN, seconds=1.0),
        Click(**WHO, item=UNKNOWN, recommended=True),
        Message(**WHO, text="May I suggest Alien?", role="assistant"),
        Click(**WHO, item=HEAT),
        View(**WHO, item=HEAT, completion=1.0),
        Rating(**WHO, item=HEAT, value=5),
        Purchase(**WHO, item=HEAT),
        Rating(**WHO, item=SPAWN, value=1),
        Choice(**WHO, chosen=HEAT, rejected=(SPAWN,)),
    ],
    ids=lambda event: f"{type(event).__name__} {getattr(getattr(event, 'item', None), 'title', '')}",
)
def test_an_event_that_says_nothing_new(event: Event) -> None:
    assert is_spared(event, event)


@pytest.mark.parametrize(
    "event",
    [
        Click(**WHO, item=UNKNOWN),
        View(**WHO, item=UNKNOWN, seconds=300.0),
        Rating(**WHO, item=UNKNOWN, value=3),
        Rating(**WHO, item=UNKNOWN, value=3.8),
        Rating(**WHO, item=UNKNOWN, value=5),
        Rating(**WHO, item=SPAWN, value=5),
        Rating(**WHO, item=HEAT, value=1),
        Rating(**WHO, item=HEAT, value=3),
        Purchase(**WHO, item=HEAT, returned=True),
        Feedback(**WHO, item=HEAT, liked=True, text="still good"),
        Choice(**WHO, chosen=HEAT, rejected=(UNKNOWN,)),
        Choice(**WHO, chosen=HEAT, query="crime"),
        Search(**WHO, query="crime"),
        Post(**WHO, text="What a film."),
        Comment(**WHO, text="Seen it twice.", item=HEAT),
        Message(**WHO, text="Something slow, please."),
        Click(user="ada", at=AT, domain="books", item=HEAT),
        Skip(user="ada", at=AT, domain="books", item=UNKNOWN),
    ],
    ids=lambda event: f"{type(event).__name__} {getattr(getattr(event, 'item', None), 'title', '')}",
)
def test_an_event_that_says_something_new(event: Event) -> None:
    """One of them among nineteen that say nothing is enough."""
    assert not is_spared(*[Skip(**WHO, item=UNKNOWN)] * 2, event)


def test_weak_events_that_change_what_the_tally_claims_are_told() -> None:
    """Nobody passes over forty crime films and still loves crime as before: the tally says so, and then the model."""
    passed_over = [Skip(**WHO, item=replace(UNKNOWN, attributes={"genre": ("crime",)}))] * 40
    assert is_spared(*passed_over[:1])
    assert not is_spared(*passed_over)


def test_a_favourite_that_the_text_has_no_room_for_is_new() -> None:
    assert not is_spared(Click(**WHO, item=HEAT), base=replace(BASE, text="Never on Sundays. Loves crime."))


def without(**changes: Any) -> Summary:
    return replace(BASE, **changes)


@pytest.mark.parametrize(
    ("base", "controls"),
    [
        (None, CONTROLS),
        (without(reason="control"), CONTROLS),
        (without(command_position=7), CONTROLS),
        (without(model=replace(MODEL, prompt_sha256="def")), CONTROLS),
        (without(model=ModelUsed()), CONTROLS),
        (without(tokens=MAX_TOKENS + 1), CONTROLS),
        (without(text="Loves crime."), CONTROLS),
        (without(text=BASE.text + " And gore."), CONTROLS),
        (without(num_spared_events=DEFAULT_SPARING.max_events), CONTROLS),
    ],
    ids=["first", "control", "later control", "prompt", "author", "tokens", "pin", "never", "too many"],
)
def test_a_text_that_is_not_the_models_last_word_is_asked_about(base: Summary | None, controls: Controls) -> None:
    assert not is_spared(Skip(**WHO, item=UNKNOWN), base=base, controls=controls)


def test_at_most_so_many_events_in_a_row_are_spared() -> None:
    skips = [Skip(**WHO, item=UNKNOWN)] * 3
    for before, is_enough in ((0, True), (2, True), (3, False)):
        step = step_of(*skips, base=without(num_spared_events=before))
        assert adds_nothing(step, MODEL, MAX_TOKENS, SparePolicy(max_events=5)) is is_enough


def test_no_step_is_made_where_the_first_event_tells_something() -> None:
    def made() -> Step:
        raise AssertionError

    told, quiet = rows_of([Click(**WHO, item=UNKNOWN)], 20), rows_of([Skip(**WHO, item=UNKNOWN)], 20)
    assert step_to_spare(BASE, told, made, MODEL, MAX_TOKENS) is None
    assert step_to_spare(None, quiet, made, MODEL, MAX_TOKENS) is None
    step = step_of(Skip(**WHO, item=UNKNOWN))
    assert step_to_spare(BASE, quiet, lambda: step, MODEL, MAX_TOKENS) is step
    assert (
        step_to_spare(without(reason="control"), quiet, lambda: replace(step, base=without(reason="control")), MODEL, 160)
        is None
    )


def test_the_version_of_a_spared_call_has_the_text_and_everything_new() -> None:
    step = step_of(Skip(**WHO, item=UNKNOWN), Click(**WHO, item=HEAT))
    summary = spared_summary(step, BASE, AT + timedelta(hours=1))
    expected = next_summary(step, BASE.text, BASE.tokens, MODEL, AT + timedelta(hours=1))
    assert summary == replace(expected, num_spared_events=2)
    assert (summary.says_nothing_new, BASE.says_nothing_new) == (True, False)
    assert spared_summary(step_of(Skip(**WHO, item=UNKNOWN), base=summary), summary, AT).num_spared_events == 3
    assert not asked(step_of(Skip(**WHO, item=UNKNOWN), base=summary)).num_spared_events


ITEMS = [
    HEAT,
    SPAWN,
    *(Item(id=f"i{n}", title=f"Film {n}", attributes={"genre": (("crime", "war", "drama")[n % 3],)}) for n in range(6)),
]
items = st.sampled_from(ITEMS)
quiet_events = st.one_of(
    st.builds(Skip, user=st.just("ada"), at=st.just(AT), domain=st.just("films"), item=items),
    st.builds(Click, user=st.just("ada"), at=st.just(AT), domain=st.just("films"), item=items),
    st.builds(
        View, user=st.just("ada"), at=st.just(AT), domain=st.just("films"), item=items, seconds=st.sampled_from([1.0, 90.0])
    ),
    st.builds(
        Rating, user=st.just("ada"), at=st.just(AT), domain=st.just("films"), item=items, value=st.sampled_from([1, 3, 5])
    ),
)


@settings(max_examples=60)
@given(st.lists(st.lists(quiet_events, min_size=1, max_size=6), min_size=1, max_size=12))
def test_what_is_counted_is_the_same_whether_calls_are_spared_or_not(shares: list[list[Event]]) -> None:
    """Everything but the text, byte for byte; and a text that was kept makes the claims that asking would have made."""
    sparing, asking, offset = None, None, 0
    for share in shares:
        rows = rows_of(share, offset)
        offset += len(share)
        asking = asked(step_from(b"ada", asking, rows, "size"))
        step = step_from(b"ada", sparing, rows, "size")
        is_quiet = sparing is not None and adds_nothing(step, MODEL, MAX_TOKENS)
        sparing = spared_summary(step, sparing, AT) if is_quiet and sparing else asked(step)
        blank: Any = {"text": "", "num_spared_events": 0}
        assert msgspec.json.encode(replace(sparing, **blank)) == msgspec.json.encode(replace(asking, **blank))
        assert sparing.num_events == offset
        if is_quiet:
            assert claimed(sparing) == claimed(asking)


def claimed(summary: Summary) -> set[Claim]:
    return set(claims_of(parse(summary.text).sections))
