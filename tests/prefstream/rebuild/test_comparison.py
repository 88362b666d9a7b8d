"""A comparison counts what it says it counts, and shows the same people each time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from io import StringIO

import pytest
from msgspec.structs import replace
from rich.console import Console

from prefstream.errors import CannotRebuild
from prefstream.rebuild.comparison import Example, Lengths, compare
from prefstream.rebuild.promotion import Outcome
from prefstream.rebuild.shadow import Beginning, Progress
from prefstream.rebuild.sides import Pair, refuse_other_spread
from prefstream.rendering.rebuild import beginning_lines, comparison_report, outcome_lines, progress_lines
from prefstream.summaries import ModelUsed, Summary
from prefstream.topics import TopicNames

AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)
LIVE = Summary(
    user="ada",
    version=9,
    text='Loves drama. Favourites: "Heat" and "Ran".',
    reason="age",
    updated_at=AT,
    tokens=12,
    num_events=40,
)
SHADOW = replace(LIVE, text='Loves drama. Favourites: "Heat" and "Ikiru".', tokens=14, model=ModelUsed(name="new"))


def pair(user: str, live: Summary = LIVE, shadow: Summary | None = SHADOW, *, took_back: bool = False) -> Pair:
    return Pair(user.encode(), replace(live, user=user), replace(shadow, user=user) if shadow else None, took_back)


def pairs() -> Iterator[Pair]:
    yield pair("ada")
    yield pair("bob", shadow=replace(LIVE, tokens=10, num_events=50))
    yield pair("eve", shadow=None)
    yield pair("zoe", replace(LIVE, num_events=60), replace(SHADOW, text="Likes noir.", tokens=4))


def test_what_is_counted() -> None:
    found = compare(pairs(), num_examples=5)
    assert (found.num_users, found.num_in_both, found.num_differ) == (4, 3, 2)
    assert found.standings == {"ready": 1, "same": 1, "absent": 1, "fewer": 1}
    assert found.words_kept == pytest.approx((5 / 6 + 0) / 2)
    assert found.live_tokens == Lengths(12.0, 12.0, 12.0)
    assert found.shadow_tokens.median == 10.0
    assert found.shadow_tokens.mean == pytest.approx(28 / 3)
    assert (found.num_live_events, found.num_shadow_events) == (140, 120)
    assert (found.num_titles_kept, found.num_titles_gone, found.num_titles_new) == (1, 3, 1)
    assert (found.often_gone, found.often_new) == ({"Ran": 2, "Heat": 1}, {"Ikiru": 1})


def test_a_shadow_that_has_the_model_of_the_installation_is_pointed_at() -> None:
    live = replace(LIVE, model=ModelUsed(name="new"))
    found = compare((pair("ada", live), pair("bob", live, live), pair("eve")), num_examples=0)
    assert (found.standings, found.num_differ, found.num_same_model) == ({"same": 2, "ready": 1}, 2, 1)
    assert "1 text of the first line differ" in printed(comparison_report(found, False))
    assert "name of its own" not in printed(comparison_report(compare([pair("eve")], num_examples=0), False))


def test_the_same_examples_are_shown_in_whatever_order_people_come() -> None:
    everybody = [pair(f"user-{number}") for number in range(50)]
    found, again = (compare(order, num_examples=3).examples for order in (everybody, everybody[::-1]))
    assert (len(found), found) == (3, again)
    assert compare(everybody, num_examples=0).examples == ()
    assert compare([pair("ada")], num_examples=1).examples == (Example("ada", "", LIVE.text, SHADOW.text, 40, 40),)


def test_of_nobody_nothing_is_said() -> None:
    found = compare([], num_examples=3)
    assert (found.num_users, found.words_kept, found.live_tokens) == (0, 1.0, Lengths())
    assert printed(comparison_report(found, has_colours=False)) == "Nobody has a summary."


def printed(*shown: object) -> str:
    console = Console(width=120, no_color=True, record=True, file=StringIO())
    console.print(*shown, sep="\n")
    return "\n".join(line.rstrip() for line in console.export_text().strip().splitlines())


def test_how_a_comparison_reads() -> None:
    assert printed(comparison_report(compare(pairs(), num_examples=1), has_colours=False)).splitlines() == [
        "users  share  who",
        "    1  25.0%  have the shadow's text, or one by its model",
        "    1  25.0%  can be promoted",
        "    1  25.0%  are known to the shadow by fewer events",
        "    1  25.0%  have no summary in the shadow",
        "",
        "tokens     mean  median  19 of 20",
        "published  12.0      12        12",
        "shadow      9.3      10        14",
        "",
        "2 of 3 texts differ; of these 42% of words stay.",
        'Titles in them: 1 stay, 3 go, 1 are new. Most often gone: "Ran" (2), "Heat" (1). New: "Ikiru" (1).',
        "The shadow knows 85.7% of the 140 events of the published texts.",
        "",
        "zoe  60 events, 40 in the shadow",
        '[-Loves drama. Favourites: "Heat" and "Ran".-] {+Likes noir.+}',
    ]


def test_how_a_promotion_reads() -> None:
    outcome = Outcome(
        standings={"same": 8, "refused": 2}, receipts={"applied": 7, "opted_out": 1, "rejected": 1, "moved_on": 3}
    )
    assert printed(*outcome_lines(outcome)).splitlines() == [
        "users  share  who",
        "    8  80.0%  have the shadow's text, or one by its model",
        "    2  20.0%  keep their text, by a guard or an opt-out",
        "7 texts changed now.",
        "3 commands refused: it was made for another version.",
        "1 command refused: they have opted out.",
        "1 command refused: a guard keeps the old text.",
    ]


def test_a_second_roll_back_has_nothing_to_do() -> None:
    assert printed(*outcome_lines(Outcome(standings={}))) == "Nothing to do."


def test_how_far_a_shadow_is_reads() -> None:
    progress = Progress(num_read=750, num_events=1_000, num_live_unread=0)
    assert printed(*progress_lines(progress)) == "750 of 1,000 events and commands read (75.0%)."
    behind = printed(*progress_lines(Progress(num_read=0, num_events=0, num_live_unread=3)))
    assert behind.splitlines()[-1] == "The installation itself has 3 of them to read."


def test_a_beginning_says_what_is_gone_and_how_to_go_on() -> None:
    begun = Beginning(
        shadow=TopicNames("shop.shadow-next"),
        num_partitions=8,
        num_created=5,
        num_kept=900,
        num_gone=100,
        retention_ms=604_800_000,
    )
    said = printed(*beginning_lines(begun))
    assert "shop.shadow-next: created 5 topics, 8 partitions as shop has." in said
    assert "It reads shop.events: 900 events and commands are there." in said
    assert "100 more are gone (they are kept for 7 days): what they said, the shadow cannot know." in said
    assert "PREFSTREAM_NAMESPACE=shop.shadow-next" in said
    assert "prefstream rebuild status next" in said
    assert "a profile with a name of its own" in said
    assert "gone" not in printed(*beginning_lines(replace(begun, num_gone=0)))


def test_a_shadow_from_before_users_moved_is_to_be_discarded() -> None:
    live = TopicNames("shop")
    refuse_other_spread(live, live.shadow("next"), 8, 8)
    with pytest.raises(CannotRebuild, match=r"has 4 partitions, and shop has 8: .* `prefstream rebuild discard next`"):
        refuse_other_spread(live, live.shadow("next"), 8, 4)
