"""A step says what one call is based on; the version made of it stands on exactly that, and on what was there before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from prefstream.dead_letters import Origin
from prefstream.events import Item, Post, Rating
from prefstream.summaries import ModelUsed, Summary, Tally
from streams.controls import Controls
from streams.evidence import evidence_of
from streams.evolution.guards.sensitive import ALL
from streams.places import Place
from streams.records import MAX_RECENT_IDS, Arrival, decode_event, encode_event, remember_ids
from streams.sensitive_words import Category
from streams.tally import fold
from streams.versions import next_summary, step_from

AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)
NOW = datetime(2026, 1, 6, tzinfo=UTC)
ARRIVED = datetime(2026, 3, 1, tzinfo=UTC)
ARRIVED_MS = int(ARRIVED.timestamp() * 1_000)
MODEL = ModelUsed(name="counting", dialect="plain", prompt_sha256="abc")
BASE = Summary(
    user="ada",
    version=6,
    text="Loves war.",
    previous_version=5,
    reason="age",
    updated_at=AT,
    first_event_at=AT - timedelta(days=9),
    last_event_at=AT + timedelta(days=9),
    num_events=40,
    num_new_events=2,
    position=10,
    command_position=8,
    tokens=3,
    pins=("Never horror.",),
    origins={"T1/0": (7, 1), "T2/0": (99, 0)},
)


CONTROLS = Controls(9, 8, ("Never horror.",), ("Mostly slow films.",))


def rating(day: int, title: str = "Heat") -> Rating:
    return Rating(user="ada", at=AT + timedelta(days=day), item=Item(id="51", title=title), value=5)


def row(
    offset: int, day: int = 0, place: Place = (8, 0), *, at_ms: int = 500, event_id: str = "", topic: str = "T1"
) -> tuple[int, Arrival]:
    origin = Origin(topic, 0, *place)
    return offset, Arrival(origin, ARRIVED_MS + at_ms, 9, event_id, msgspec.Raw(encode_event(rating(day))))


ROWS = [
    row(11, day=3, place=(8, 0), at_ms=700, event_id="a"),
    row(12, day=-1, place=(8, 1), at_ms=600),
    row(15, day=1, place=(4, 0), at_ms=800, topic="T3", event_id="b"),
]


def test_a_first_step_stands_on_the_events_alone() -> None:
    step = step_from(b"ada", None, ROWS, "size")
    evidence = tuple(evidence_of(rating(day)) for day in (3, -1, 1))
    assert (step.user, step.base_version, step.old_text, step.kept) == ("ada", 0, "", ())
    assert (step.offsets, step.reason, step.event_ids, step.arrived_at_ms) == (
        (11, 12, 15),
        "size",
        ("a", "b"),
        ARRIVED_MS + 600,
    )
    assert (step.evidence, step.tally) == (evidence, fold(Tally(), evidence))
    assert step.origins == {"T1/0": (8, 1), "T3/0": (4, 0)}
    assert (step.first_event_at, step.last_event_at) == (AT - timedelta(days=1), AT + timedelta(days=3))


def test_a_later_step_stands_on_the_summary_too() -> None:
    base = msgspec.structs.replace(BASE, tally=fold(Tally(), [evidence_of(rating(0, "Fargo"))]))
    step = step_from(b"ada", base, ROWS, "age", CONTROLS)
    assert (step.base_version, step.old_text, step.kept) == (6, "Loves war.", ("Never horror.", "Mostly slow films."))
    assert step.tally == fold(base.tally, step.evidence)
    assert step.tally.num_events == 4
    assert step.origins == {"T1/0": (8, 1), "T2/0": (99, 0), "T3/0": (4, 0)}
    assert (step.first_event_at, step.last_event_at) == (BASE.first_event_at, BASE.last_event_at)


def test_events_beyond_the_summarys_widen_its_time() -> None:
    step = step_from(b"ada", BASE, [row(11, day=-30), row(12, day=30)], "age")
    assert (step.first_event_at, step.last_event_at) == (AT - timedelta(days=30), AT + timedelta(days=30))


def test_a_summary_without_times_gets_them_from_the_events() -> None:
    timeless = msgspec.structs.replace(BASE, first_event_at=None, last_event_at=None)
    step = step_from(b"ada", timeless, [row(11, day=2)], "age")
    assert step.first_event_at == step.last_event_at == AT + timedelta(days=2)


def test_what_a_clock_dates_ahead_counts_as_when_it_arrived() -> None:
    """It widens no time beyond that, and is not the newest event for years."""
    ahead, after = row(11, day=4_000), row(12, day=20, at_ms=900)
    step = step_from(b"ada", None, [ahead, after], "size")
    arrived = ARRIVED + timedelta(milliseconds=500)
    assert step.last_event_at == arrived
    assert [one.at_seconds for one in step.evidence] == [arrived.timestamp(), (AT + timedelta(days=20)).timestamp()]
    domain = step.tally.domains[""]
    assert domain.newest_day == int(arrived.timestamp() // 86_400)


def test_what_is_dated_in_the_millisecond_of_its_arrival_keeps_its_time() -> None:
    at = ARRIVED + timedelta(microseconds=500_999)
    arrival = Arrival(Origin("T1", 0, 8, 0), ARRIVED_MS + 500, 9, "", msgspec.Raw(encode_event(replace(rating(0), at=at))))
    assert step_from(b"ada", None, [(11, arrival)], "size").last_event_at == at


@given(st.lists(st.integers(-400, 90), min_size=1, max_size=9))
def test_the_time_covered_is_that_of_the_events_in_whatever_order_they_come(days: list[int]) -> None:
    base, ats = None, [min(AT + timedelta(days=day), ARRIVED + timedelta(milliseconds=500)) for day in days]
    for offset, day in enumerate(days):
        base = next_summary(step_from(b"ada", base, [row(offset, day=day)], "size"), "Loves Heat.", 5, MODEL, NOW)
    assert base is not None
    assert (base.first_event_at, base.last_event_at) == (min(ats), max(ats))


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 3)), min_size=1, max_size=8))
def test_an_origin_never_goes_backwards(places: list[Place]) -> None:
    """Otherwise a redelivered event would pass for a new one."""
    rows = [row(11 + i, place=place) for i, place in enumerate(places)]
    assert step_from(b"ada", BASE, rows, "size").origins["T1/0"] == max([*places, (7, 1)])


def test_a_user_is_named_as_they_name_themselves() -> None:
    assert step_from("zoë\0👩‍👩‍👧".encode(), None, ROWS, "size").user == "zoë\0👩‍👩‍👧"


def test_a_first_version() -> None:
    step = step_from(b"ada", None, ROWS, "size")
    assert next_summary(step, "Loves Heat.", 5, MODEL, NOW) == Summary(
        user="ada",
        version=1,
        text="Loves Heat.",
        previous_version=0,
        reason="size",
        updated_at=NOW,
        first_event_at=step.first_event_at,
        last_event_at=step.last_event_at,
        num_events=3,
        num_new_events=3,
        position=15,
        command_position=-1,
        tokens=5,
        model=MODEL,
        tally=step.tally,
        origins=step.origins,
    )


def test_a_later_version_follows_the_one_before() -> None:
    summary = next_summary(step_from(b"ada", BASE, ROWS, "tokens", CONTROLS), "Loves Heat.", 5, MODEL, NOW)
    assert (summary.version, summary.previous_version) == (7, 6)
    assert (summary.num_events, summary.num_new_events, summary.position) == (43, 3, 15)
    assert (summary.command_position, summary.pins, summary.own_words) == (8, ("Never horror.",), ("Mostly slow films.",))
    assert (summary.text, summary.tokens, summary.model, summary.updated_at) == ("Loves Heat.", 5, MODEL, NOW)


@pytest.mark.parametrize("chunks", [[3], [1, 2], [2, 1], [1, 1, 1]])
def test_the_same_events_make_the_same_state_however_they_are_cut(chunks: list[int]) -> None:
    rows, base = list(ROWS), None
    for size in chunks:
        step = step_from(b"ada", base, rows[:size], "size")
        base, rows = next_summary(step, "Loves Heat.", 5, MODEL, NOW), rows[size:]
    whole = next_summary(step_from(b"ada", None, ROWS, "size"), "Loves Heat.", 5, MODEL, NOW)
    assert base is not None
    assert (base.version, base.num_new_events) == (len(chunks), chunks[-1])
    blank = {"version": 0, "previous_version": 0, "num_new_events": 0}
    assert msgspec.structs.replace(base, **blank) == msgspec.structs.replace(whole, **blank)


GENRES = st.lists(st.sampled_from(["war", "drama", "noir"]), max_size=2, unique=True)
FILMS = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5), GENRES), min_size=1, max_size=12)


@given(FILMS, st.integers(0, 12))
def test_what_is_of_a_forbidden_subject_leaves_no_trace_but_its_number(
    films: list[tuple[int, int, list[str]]], cut: int
) -> None:
    """However the events are cut; one film may be of other genres in each event, as catalogues change."""
    rows = [_film(11 + number, *film) for number, film in enumerate(films)]
    nevers = Controls(nevers=("war",))
    base = None
    for some in filter(None, (rows[:cut], rows[cut:])):
        base = next_summary(step_from(b"ada", base, some, "size", nevers), "Loves Heat.", 5, MODEL, NOW)
    assert base is not None
    whole = step_from(b"ada", None, rows, "size", nevers)
    assert (base.tally, base.num_events) == (whole.tally, len(films))
    kinds = [evidence_of(decode_event(arrival)) for _, arrival in rows]
    blank = [replace(one, kind="message", strength=0.0, chosen=None, rejected=()) for one in kinds]
    expected = [empty if "war" in film[2] else one for film, one, empty in zip(films, kinds, blank, strict=True)]
    assert whole.evidence == tuple(expected)
    assert whole.tally == fold(Tally(), expected)


def _film(offset: int, number: int, stars: int, genres: list[str]) -> tuple[int, Arrival]:
    item = Item(id=f"f{number}", title=f"Film {number}", attributes={"genre": tuple(genres)})
    event = Rating(user="ada", at=AT, domain="films", item=item, value=stars)
    return offset, Arrival(Origin("T1", 0, offset, 0), ARRIVED_MS, 9, "", msgspec.Raw(encode_event(event)))


def test_an_item_of_a_forbidden_matter_is_not_named_and_one_of_a_matter_that_is_off_is() -> None:
    """What is off for everybody loses what tells of the person, and keeps the title; who forbids it wants no such item."""
    item = Item(id="g1", title="Sunday Circle", attributes={"faith": ("Catholic",), "genre": ("choir",)})
    event = Rating(user="ada", at=AT, item=item, value=5)
    rows = [(11, Arrival(Origin("T1", 0, 8, 0), ARRIVED_MS, 9, "", msgspec.Raw(encode_event(event))))]
    off, never = (step_from(b"ada", None, rows, "size", asked).tally for asked in (Controls(), Controls(nevers=("religion",))))
    assert (list(off.domains[""].attributes), len(off.domains[""].favourites)) == (["genre:choir"], 1)
    assert (never.domains[""].attributes, never.domains[""].favourites, never.num_events) == ({}, (), 1)


@pytest.mark.parametrize(
    ("recent", "new", "remembered"),
    [
        ([], [], []),
        (["a"], ["b", "c"], ["a", "b", "c"]),
        (["a", "b"], ["b", "b"], ["a", "b"]),
        ([], [str(i) for i in range(300)], [str(i) for i in range(44, 300)]),
        ([str(i) for i in range(MAX_RECENT_IDS)], ["new"], [*(str(i) for i in range(1, MAX_RECENT_IDS)), "new"]),
    ],
)
def test_the_newest_ids_are_remembered(recent: list[str], new: list[str], remembered: list[str]) -> None:
    assert remember_ids(recent, new) == tuple(remembered)


def test_a_version_is_of_the_tenant_whose_key_its_events_have() -> None:
    step = step_from(b"shop\xffada", None, ROWS, "age")
    made = next_summary(step, "Loves war.", 3, MODEL, NOW)
    assert (made.tenant, made.user) == ("shop", "ada")
    assert (step_from(b"ada", BASE, ROWS, "age").tenant, msgspec.structs.replace(BASE).tenant) == ("", "")


def test_what_is_sensitive_is_not_learnt_unless_somebody_allows_it() -> None:
    post = Post(user="ada", at=AT, text="I am Muslim. I have diabetes. Slow films are best.")
    rows = [(11, Arrival(Origin("T1", 0, 8), ARRIVED_MS, 9, "", msgspec.Raw(encode_event(post))))]
    base = msgspec.structs.replace(BASE, text="Loves war. Is Muslim. Has diabetes.", tally=fold(Tally(), [evidence_of(post)]))

    def learnt(*allows: str, allowed: frozenset[Category] = frozenset()) -> tuple[str, str, dict[Category, int]]:
        step = step_from(b"ada", base, rows, "age", msgspec.structs.replace(CONTROLS, allows=allows), allowed=allowed)
        assert step.tally.domains[""].quotes == ((step.evidence[0].quote,) if step.off != ALL else ("Slow films are best.",))
        return step.evidence[0].quote, step.old_text, dict(step.left_out)

    assert learnt() == ("Slow films are best.", "Loves war.", {"religion": 1, "health": 1})
    told = "I am Muslim. Slow films are best."
    assert learnt("religion") == (told, "Is Muslim.\nLoves war.", {"health": 1})
    assert learnt(allowed=frozenset({"religion"})) == (told, "Is Muslim.\nLoves war.", {"health": 1})
