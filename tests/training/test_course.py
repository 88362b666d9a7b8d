"""The course of a run: settings by name, a folder that goes on as what it was, and files that survive a kill."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import to_builtins

from tests.training.cases import person
from training.batches import Batches, cut_to, whole_lines
from training.course import TINY, AnotherCourse, Course, begin, course_of, hash_of, settings_of, with_settings
from training.pruning import Scored
from training.reward_log import RewardLog, Step, read_rewards
from training.rewards import MeasuredFutures

ANN = person("ann", 9)


def test_a_setting_by_name() -> None:
    course = with_settings(Course(), ["grpo.plan.mode=each", "grpo.horizon=3", "thresholds.band=[0.1, 0.4]", "dialect=plain"])
    assert (course.grpo.plan.mode, course.grpo.horizon, course.thresholds.band, course.dialect) == (
        "each",
        3,
        (0.1, 0.4),
        "plain",
    )
    assert with_settings(Course(), []) == Course()


@pytest.mark.parametrize("told", ["grpo.step=3", "grpo=3", "steps", "seed.x=1", "nothing.at.all=1"])
def test_what_is_no_setting(told: str) -> None:
    with pytest.raises(AnotherCourse, match="is no setting"):
        with_settings(Course(), [told])


@pytest.mark.parametrize("told", ["grpo.steps=many", "grpo.plan.mode=none", "seed=1.5"])
def test_what_is_no_value(told: str) -> None:
    with pytest.raises(AnotherCourse, match="the wrong kind of value"):
        with_settings(Course(), [told])


def test_every_setting_can_be_told_as_it_is_shown() -> None:
    shown = settings_of(to_builtins(TINY))
    assert "grpo.plan.num_samples=2" in shown
    assert with_settings(Course(), [one.replace("(", "[").replace(")", "]") for one in shown if "False" not in one]) == TINY


def test_a_run_goes_on_as_what_it_was(tmp_path: Path) -> None:
    begun = begin(tmp_path, TINY, [ANN])
    assert (begun.course, begun.people_sha256, begun.num_people) == (TINY, hash_of([ANN]), 1)
    assert begin(tmp_path, Course(), [ANN]) == begun
    assert course_of(tmp_path) == TINY
    with pytest.raises(AnotherCourse, match="other people's events"):
        begin(tmp_path, TINY, [person("ann", 10)])


def test_a_run_that_was_not_begun_or_cannot_be_read(tmp_path: Path) -> None:
    assert course_of(tmp_path) is None
    (tmp_path / "course.json").write_text('{"course": 1}')
    with pytest.raises(AnotherCourse, match="no course of this version"):
        course_of(tmp_path)


def test_batches_survive_a_cut_line(tmp_path: Path) -> None:
    path = tmp_path / "batches.jsonl"
    one, other = (Scored("ann", after, 0, -0.5, -0.1) for after in (1, 2))
    batches = Batches(path, Scored)
    batches.append([one, other])
    batches.append([])
    with path.open("ab") as file:
        file.write(b'[{"user":"ann"')
    batches = Batches(path, Scored)
    assert batches.done == [[one, other], []]
    batches.append([other])
    assert Batches(path, Scored).all() == [one, other, other]


def test_a_file_is_cut_in_place(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    cut_to(path, [])
    assert whole_lines(path) == []
    path.write_bytes(b"one\ntwo\nthr")
    assert whole_lines(path) == [b"one", b"two"]
    cut_to(path, [b"one"])
    assert path.read_bytes() == b"one\n"


def step(number: int, measured: MeasuredFutures) -> Step:
    return Step(number, 1.0, 0.5, 0.9, 0.6, 0.5, 0.0, 0.0, {}, 80.0, 0.1, measured)


def test_the_reward_log_forgets_steps_that_are_taken_again(tmp_path: Path) -> None:
    path = tmp_path / "rewards.jsonl"
    log = RewardLog(path, 0)
    for number in range(4):
        log.measured.add([float(number)])
        log.write(step(number, log.measured))
    again = RewardLog(path, 2)
    assert [one.step for one in read_rewards(path)] == [0, 1]
    assert again.measured.means(2) == [0.5]
    assert RewardLog(tmp_path / "new.jsonl", 0).measured.means(2) == [0.5]
