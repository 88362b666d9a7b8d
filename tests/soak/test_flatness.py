"""Whether growth is found, and a noisy plateau is not; by seeds, in milliseconds."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest

from tests.soak.flatness import MIN_WINDOWS, Limit, Point, Trend, smallest_told, trend, verdict, windows

EVERY_SECONDS = 5.0
MINUTES = 20
LIMIT = Limit(percent=10, least=1)
SEEDS = range(40)

Noise = Callable[[random.Random, float], float]


def series(noise: Noise, seed: int = 1, grows: float = 0.0, minutes: float = MINUTES) -> list[Point]:
    """A plateau of 100 with noise, growing by so much an hour."""
    chance = random.Random(seed)
    times = [EVERY_SECONDS * number for number in range(int(minutes * 60 / EVERY_SECONDS))]
    return [Point(at, 100 + grows * at / 3_600 + noise(chance, at)) for at in times]


def still(chance: random.Random, at: float) -> float:
    return 0.0


def noisy(chance: random.Random, at: float) -> float:
    return chance.gauss(0, 2)


def sawtooth(chance: random.Random, at: float) -> float:
    """As memory that fills for two minutes and is written to a file then."""
    return 6 * (at % 120) / 120 + chance.gauss(0, 0.5)


def with_faults(chance: random.Random, at: float) -> float:
    """Every 40 s something happens and costs 50 for 10 s."""
    return chance.gauss(0, 1) + 50 * (at % 40 < 10)


def steps() -> Noise:
    """Steps up and down every other minute that do not add up: neighbouring windows are alike."""
    level = {"now": 0.0}

    def step(chance: random.Random, at: float) -> float:
        level["now"] = 0.98 * level["now"] + chance.gauss(0, 0.8)
        return level["now"] + chance.gauss(0, 0.2)

    return step


def judged(points: Sequence[Point], limit: Limit = LIMIT) -> str:
    return verdict(trend(points, 60), limit)


@pytest.mark.parametrize("noise", [still, noisy, sawtooth, with_faults])
def test_a_plateau_is_flat_whatever_its_noise(noise: Noise) -> None:
    assert {judged(series(noise, seed)) for seed in SEEDS} == {"flat"}


@pytest.mark.parametrize("noise", [still, noisy, sawtooth, with_faults])
def test_a_leak_is_found_under_the_same_noise(noise: Noise) -> None:
    assert {judged(series(noise, seed, grows=25)) for seed in SEEDS} == {"grows"}


def test_a_plateau_whose_steps_last_is_seldom_said_to_grow() -> None:
    """One in twelve, where neighbours are alike over four windows; without the widening of the interval one in five."""
    verdicts = [judged(series(steps(), seed)) for seed in range(100)]
    assert verdicts.count("grows") <= 10


def test_growth_within_the_limit_is_flat() -> None:
    assert judged(series(noisy, grows=3)) == "flat"


def test_a_fall_is_flat() -> None:
    assert judged(series(noisy, grows=-40)) == "flat"


def test_what_is_not_shown_either_way_is_unclear() -> None:
    def wild(chance: random.Random, at: float) -> float:
        return chance.gauss(0, 60)

    assert judged(series(wild, seed=3)) == "unclear"


def test_a_short_series_says_nothing() -> None:
    assert judged(series(still, minutes=MIN_WINDOWS - 1)) == "too short"
    assert judged(series(still, minutes=MIN_WINDOWS)) == "flat"
    assert judged([]) == "too short"


def test_nothing_at_all_is_flat_by_the_least_that_counts() -> None:
    """The limit of a series around 0 is no percentage of 0."""
    idle = [Point(at, value - 100) for at, value in series(noisy)]
    assert judged(idle, Limit(percent=10, least=0)) == "unclear"
    assert judged(idle, Limit(percent=10, least=6)) == "flat"


def test_a_window_is_the_median_of_its_points() -> None:
    points = [Point(0, 1), Point(10, 900), Point(20, 3), Point(130, 7)]
    assert windows(points, 60) == [Point(10, 3), Point(130, 7)]


def heaped_up(chance: random.Random, at: float) -> float:
    """Faults leave something to work off most of the time, and seldom the same."""
    return chance.expovariate(1 / 200) * (at % 60 < 45)


def test_what_is_worked_off_again_is_no_growth() -> None:
    assert {verdict(trend(series(heaped_up, seed), 60, min), LIMIT) for seed in SEEDS} == {"flat"}
    assert [judged(series(heaped_up, seed)) for seed in SEEDS].count("flat") < 10


def test_what_is_left_after_each_fault_is() -> None:
    assert {verdict(trend(series(heaped_up, seed, grows=25), 60, min), LIMIT) for seed in SEEDS} == {"grows"}


def test_what_grows_by_so_much_by_the_hour_has_that_slope() -> None:
    found = trend(series(still, grows=60), 60)
    assert found is not None
    assert [found.slope, found.low, found.high] == pytest.approx([60, 60, 60])
    assert found.hours == pytest.approx(MINUTES / 60)


@pytest.mark.parametrize("noise", [noisy, sawtooth, with_faults])
def test_the_smallest_growth_that_is_told_is_told(noise: Noise) -> None:
    plateau = trend(series(noise), 60)
    assert plateau is not None
    told = smallest_told(plateau, LIMIT)
    assert judged(series(noise, grows=1.1 * told)) == "grows"
    assert judged(series(noise, grows=0.7 * told)) != "grows"


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [(-2.0, 4.0, 6.0), (-8.0, 9.0, 8.0), (1.0, 12.0, 0.0)],
    ids=["up to the limit", "until it is sure", "it grows already"],
)
def test_how_much_more_would_be_told(low: float, high: float, told: float) -> None:
    assert smallest_told(Trend(hours=0.5, median=100, slope=1, low=low, high=high), LIMIT) == told


@pytest.mark.parametrize(
    ("hours", "low", "high", "said"),
    [
        (0.5, 1.0, 9.0, "flat"),
        (0.5, 1.0, 11.0, "grows"),
        (0.5, -1.0, 19.0, "flat"),
        (0.5, -1.0, 21.0, "unclear"),
        (2.0, 1.0, 4.0, "flat"),
        (2.0, 1.0, 6.0, "grows"),
        (2.0, -1.0, 6.0, "unclear"),
    ],
)
def test_a_longer_run_has_to_rule_out_a_smaller_slope(hours: float, low: float, high: float, said: str) -> None:
    """Of a median of 100: ten an hour in half an hour if it is certain, and twenty an hour if it may as well be none."""
    assert verdict(Trend(hours=hours, median=100, slope=(low + high) / 2, low=low, high=high), LIMIT) == said
