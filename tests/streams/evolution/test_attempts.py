"""An attempt is asked again as itself, sampled anew, and its answer is judged as the model that counts its tokens would."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from msgspec.structs import replace

from prefstream.dead_letters import Origin
from prefstream.events import Item, Rating
from prefstream.summaries import ModelUsed
from streams.evolution.attempts import Attempt, applied, first_attempt, judged, repeated
from streams.evolution.fitting import Context, fit
from streams.evolution.guards import Accepted, GuardLimits, Rejected
from streams.evolution.plain import FIRMLY, Plain
from streams.evolution.records import Completion
from streams.records import Arrival, encode_event
from streams.versions import step_from

AT = datetime(2026, 1, 5, tzinfo=UTC)
ALIEN = Rating(user="ada", at=AT, item=Item("1", "Alien", {"genre": ("horror",)}), value=5.0)
ARRIVAL = Arrival(Origin("topic", 0, 7), 0, 0, "", msgspec.Raw(encode_event(ALIEN)))
GOOD = Completion("Enjoys frightening films from space.", "stop")


def attempt(num_repeats: int = 0, max_tokens: int = 160) -> Attempt:
    fitted = fit(lambda number: step_from(b"ada", None, [(4, ARRIVAL)][:number], "size"), 1, max_tokens, Plain(), Context())
    return first_attempt(fitted, num_repeats)


def judge(answer: Completion, max_tokens: int = 160, num_tokens: int = 0) -> Accepted | Rejected:
    counted = (lambda one: replace(one, completion_tokens=num_tokens)) if num_tokens else (lambda one: one)
    return judged(attempt(max_tokens=max_tokens), answer, Plain(), counted, GuardLimits())


def test_a_first_attempt_says_how_often_its_share_failed() -> None:
    assert attempt(3).prompt == replace(attempt().prompt, num_repeats=3)


@pytest.mark.parametrize("is_too_long", [False, True])
def test_what_is_asked_again_is_the_same_and_firm_where_the_answer_was_too_long(is_too_long: bool) -> None:
    again = repeated(attempt(2), Rejected("over_budget", "", is_too_long), Plain())
    assert (again.step, again.prompt.num_repeats) == (attempt().step, 3)
    assert (FIRMLY in again.prompt.turns[-1].content) == is_too_long
    assert again.update == replace(attempt().update, is_firm=is_too_long)


def test_an_answer_is_judged_by_the_count_it_is_given() -> None:
    assert judge(GOOD) == Accepted(GOOD.text, 11)
    assert judge(GOOD, num_tokens=6, max_tokens=6) == Accepted(GOOD.text, 6)
    rejected = judge(GOOD, num_tokens=7, max_tokens=6)
    assert isinstance(rejected, Rejected)
    assert rejected.is_too_long


def test_the_dialect_reads_the_answer_before_it_is_judged() -> None:
    assert judge(replace(GOOD, text=f"<think>long</think>{GOOD.text}")) == Accepted(GOOD.text, 11)


def test_an_accepted_answer_is_the_next_version() -> None:
    summary = applied(attempt(), Accepted("Enjoys space.", 5), ModelUsed("counting"), AT)
    assert (summary.version, summary.text, summary.tokens, summary.position) == (1, "Enjoys space.", 5, 4)
    assert (summary.tally.num_events, summary.model.name, summary.updated_at) == (1, "counting", AT)
