"""The checks, by hand: each holds at its bound and fails beyond it."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from evaluation import checks
from evaluation.evolving import Version
from evaluation.findings import Check, Cost, Truth
from evaluation.intervals import Interval
from evaluation.measuring import Right, Sitting, cost_of
from evaluation.records import Exam, Question, View
from evaluation.settings import Direct, Full, Streaming, TextOnly
from evaluation.slices.slice import Slice
from evaluation.views import Told
from prefstream.events import Item
from prefstream.summaries import Tally

HEADLINE = Streaming(5)
NUM = 1_000
QUESTIONS = tuple(Question(f"u{number % 100}", 50, Item("1"), Item("2")) for number in range(NUM))


def sitting(task: str = "order_matched") -> Sitting:
    exam = Exam(task, {}, QUESTIONS)
    return Sitting(exam, (), 0, 50)


@pytest.fixture
def few_suffice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred people are enough."""
    monkeypatch.setattr(checks, "LEAST_PEOPLE", 100)


def right(percent: float) -> Right:
    """So many of each person's ten answers are right, the same ones."""
    return np.repeat(np.arange(NUM // 100) < percent / 10, 100).astype(float)


def checked(task: str, summary: float, *, prior: float = 50.0, direct: float = 70.0, others: float = 50.0) -> dict[str, Check]:
    rights = {"prior": right(prior), Direct().name: right(direct), f"counting: {HEADLINE.name}": right(summary)}
    found = checks.of_sitting(sitting(task), "counting", rights, right(others), HEADLINE)
    return {check.name.partition("counting: ")[2]: check for check in found}


@pytest.mark.parametrize(
    ("task", "summary", "held"),
    [
        ("order_matched", 60.0, True),
        ("order_matched", 50.0, False),
        ("next_popqual", 70.0, True),
        ("next_popqual", 60.0, False),
    ],
)
def test_a_summary_adds_something(task: str, summary: float, held: bool) -> None:
    assert checked(task, summary)["summary - prior, at least"].held is held


def test_it_is_the_lower_end_that_counts() -> None:
    """Half of the people gain all of twelve points: the mean is above four, the lower end below."""
    few = np.where(np.array([int(question.user[1:]) < 8 for question in QUESTIONS]), 1.0, right(50.0))
    rights = {"prior": right(50.0), Direct().name: few, f"counting: {HEADLINE.name}": few}
    (gain, *_) = checks.of_sitting(sitting(), "counting", rights, right(50.0), HEADLINE)
    assert gain.measured.startswith("+4.0 [")
    assert not gain.held


@pytest.mark.parametrize(("direct", "held"), [(70.0, True), (80.0, False)])
def test_a_summary_loses_little_of_the_history(direct: float, held: bool) -> None:
    assert checked("order_matched", 70.0, direct=direct)["direct history - summary"].held is held


@pytest.mark.parametrize(("others", "held"), [(50.0, True), (60.0, False), (40.0, False)])
def test_somebody_elses_adds_nothing(others: float, held: bool) -> None:
    assert checked("order_matched", 70.0, others=others)["another's - prior"].held is held


def test_other_tasks_have_no_bound_for_the_gain() -> None:
    assert checked("order", 50.0).keys() == {"direct history - summary"}


@pytest.mark.parametrize(("share", "held"), [(0.5, True), (0.5005, False)])
def test_a_constant_reader_is_right_in_half(share: float, held: bool) -> None:
    assert checks.of_constant(sitting(), np.full(NUM, share)).held is held


def told(*texts: str) -> Told:
    return Told(tuple(View(text) for text in texts), ())


@pytest.mark.parametrize(("streamed", "measured"), [(("a", "b"), "0 of 2 differ"), (("a", "b "), "1 of 2 differ")])
def test_streaming_is_full_recompute_to_the_byte(streamed: tuple[str, ...], measured: str) -> None:
    texts = {Full().name: told("a", "b"), HEADLINE.name: told(*streamed), TextOnly(HEADLINE).name: told("c", "d")}
    (check,) = checks.bytes_alike(sitting(), "counting", texts)
    assert (check.measured, check.held) == (measured, measured.startswith("0"))
    assert not list(checks.bytes_alike(sitting(), "smollm2", texts))


def test_other_settings_are_told_of_and_held_to_nothing() -> None:
    rights = {"prior": right(50.0), Direct().name: right(70.0), f"counting: {HEADLINE.name}": right(70.0)}
    rights |= {f"counting: {Full().name}": right(70.0), f"counting: {TextOnly(HEADLINE).name}": right(60.0)}
    reported = [check for check in checks.of_sitting(sitting(), "counting", rights, right(50.0), HEADLINE) if not check.bound]
    assert [check.name for check in reported] == [
        f"order_matched, seed 0, counting: full re-inference - {TextOnly(HEADLINE).name}"
    ]
    assert reported[0].measured.startswith("+10.0 [")


SHARES: dict[str, tuple[float | None, int]] = {
    "titles in events": (0.98, 100),
    "titles on the right side": (0.95, 100),
    "levels of the right sign": (0.95, 100),
    "claims made twice": (0.0, 100),
    "claims against each other": (0.0, 100),
}


@pytest.mark.parametrize(
    ("name", "share", "held"),
    [
        ("titles in events", 0.979, False),
        ("titles in events", None, False),
        ("levels of the right sign", 0.94, False),
        ("claims made twice", 0.001, False),
        ("claims against each other", 0.0, True),
    ],
)
def test_a_text_is_true(name: str, share: float | None, held: bool) -> None:
    assert all(check.held for check in checks.of_truth(Truth("m", "s", 50, SHARES)))
    found = {check.name: check.held for check in checks.of_truth(Truth("m", "s", 50, SHARES | {name: (share, 100)}))}
    assert found[f"m, s, 50 events: {name}"] is held


COST = Cost(100, 150.0, 160.0, 100, 1_000.0, 150.0, 1.0, 1.25, 0.10)


@pytest.mark.parametrize(
    ("cost", "held"),
    [
        (COST, [True, True]),
        (replace(COST, text_tokens_p99=160.5), [False, True]),
        (replace(COST, rejected=0.101), [True, False]),
    ],
)
def test_a_text_is_short_and_seldom_refused(cost: Cost, held: list[bool]) -> None:
    assert [check.held for check in checks.of_cost("m", cost)] == held


@pytest.mark.parametrize(("least", "held"), [(-1.0, True), (-0.9, False), (None, True)])
def test_a_slice_costs_no_more_than_it_may(least: float | None, held: bool) -> None:
    lost = Interval(-1.0, -2.0, 0.0, NUM, 100)
    exam = sitting().exam
    assert checks.of_slice(Slice("noise", exam, exam, least), sitting(), "counting", lost).held is held


def version(user: str, tokens: int, calls: int, rejections: tuple[str, ...] = ()) -> Version:
    return Version(
        user=user,
        num_events=50,
        num_covered=50,
        text="t",
        tally=Tally(),
        tokens=tokens,
        prompt_tokens=1_000 * calls,
        completion_tokens=100,
        seconds=2.0,
        num_calls=calls,
        rejections=rejections,
    )


def test_what_texts_took_is_per_update() -> None:
    ada, bob = version("ada", 100, 1), version("bob", 140, 2, ("loop",))
    cost = cost_of(Told((View("t"),) * 3, (ada, ada, bob), (ada, ada, bob, bob)))
    assert cost is not None
    assert (cost.num_texts, cost.text_tokens, cost.num_updates, cost.calls) == (2, 120.0, 4, 1.5)
    assert (cost.prompt_tokens, cost.completion_tokens, cost.seconds) == (1_500.0, 100.0, 2.0)
    assert cost.rejected == pytest.approx(2 / 6)
    assert cost_of(Told((View(),), (None,))) is None


@pytest.mark.parametrize(("lost", "held"), [(0.0, True), (10.0, False)])
@pytest.mark.parametrize("updates", [2, 10])
@pytest.mark.usefixtures("few_suffice")
def test_what_updates_lose_is_bounded_at_the_upper_end(updates: int, lost: float, held: bool) -> None:
    rights = {"prior": right(50.0), f"m: {Full().name}": right(70.0), f"m: {Streaming(updates).name}": right(70.0 - lost)}
    (found,) = checks.of_updates([sitting()], "m", [rights])
    assert (found.held, found.bound) == (held, "<= +1.0 at its upper end")
    assert "100 people" in found.name


@pytest.mark.usefixtures("few_suffice")
def test_a_gain_on_average_may_still_be_a_loss_at_the_upper_end() -> None:
    """Three in a hundred lose all, two gain all: one point on average, three at the upper end."""
    full = np.where(np.array([int(question.user[1:]) < 3 for question in QUESTIONS]), 1.0, 0.0)
    ten = np.where(np.array([int(question.user[1:]) in (3, 4) for question in QUESTIONS]), 1.0, 0.0)
    (found,) = checks.of_updates([sitting()], "m", [{f"m: {Full().name}": full, f"m: {Streaming(10).name}": ten}])
    assert not found.held


def test_what_fifty_updates_lose_is_told_with_its_people() -> None:
    rights = {f"m: {Full().name}": right(70.0), f"m: {Streaming(50).name}": right(40.0)}
    (found,) = checks.of_updates([sitting()], "m", [rights])
    assert (found.held, found.bound) == (True, "")
    assert "100 people, 1,000 answers: full re-inference - streaming, 50 updates" in found.name


def test_too_few_people_are_held_to_nothing() -> None:
    rights = {f"m: {Full().name}": right(70.0), f"m: {Streaming(2).name}": right(20.0)}
    (found,) = checks.of_updates([sitting()], "m", [rights])
    assert (found.held, found.bound, found.measured[:5]) == (True, "", "+50.0")


@pytest.mark.usefixtures("few_suffice")
def test_all_seeds_together_are_held_and_one_alone_is_told() -> None:
    lost = {f"m: {Full().name}": right(70.0), f"m: {Streaming(2).name}": right(50.0)}
    kept = {f"m: {Full().name}": right(60.0), f"m: {Streaming(2).name}": right(80.0)}
    (one,) = checks.of_updates([sitting()], "m", [lost], is_held=False)
    assert (one.held, one.bound, one.measured[:5]) == (True, "", "+20.0")
    (both,) = checks.of_updates([sitting(), sitting()], "m", [lost, kept])
    assert (both.held, both.measured[:4]) == (True, "+0.0")
    assert "seed 0 and 0, m, 100 people, 2,000 answers" in both.name


def test_what_one_writer_has_over_another_is_told() -> None:
    rights = {"prior": right(50.0), f"a: {Full().name}": right(70.0), f"b: {Full().name}": right(60.0)}
    (found,) = checks.of_writers([sitting()], ["a", "b"], [rights])
    assert (found.name, found.measured[:5], found.bound) == (*("order_matched, seed 0, full re-inference: a - b", "+10.0", ""),)
    assert not list(checks.of_writers([sitting()], ["a"], [rights]))
