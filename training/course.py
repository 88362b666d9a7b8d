"""The course: the settings of all stages of a run, kept in its folder, so that it goes on as what it was begun as."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct, convert, to_builtins

from evaluation.records import Person
from streams.evolution.dialects import DialectName
from training.lines import write_lines
from training.merging import Rules
from training.pruning import Thresholds
from training.rollouts import Plan

FILE = "course.json"
_PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "scikit-learn")


class GrpoSettings(Struct, frozen=True):
    """S4: a step rolls out ``episodes_per_step`` episodes of ``horizon`` updates by ``plan``.

    ``beta`` weighs the KL to the model it begins with. With ``full`` all weights are trained, otherwise an adapter of ``rank``;
    ``max_completion`` tokens may be generated, a thought included. With ``vllm`` TRL generates on vLLM, on the
    same GPUs or on a server of its own.
    """

    plan: Plan = Plan()
    horizon: int = 2
    steps: int = 40
    episodes_per_step: int = 2
    micro_batch: int = 4
    learning_rate: float = 2e-5
    beta: float = 0.02
    temperature: float = 1.0
    rank: int = 16
    full: bool = False
    max_completion: int = 240
    vllm: Literal["", "colocate", "server"] = ""
    seed: int = 1

    @property
    def groups_per_episode(self) -> int:
        """How many groups of an episode are learnt from: with ``each`` what comes later only counts."""
        return 1 if self.plan.mode == "each" else self.horizon

    @property
    def samples_per_step(self) -> int:
        """Samples that one step learns from, over all processes."""
        return self.episodes_per_step * self.groups_per_episode * self.plan.num_samples


class Course(Struct, frozen=True):
    """What a run is. ``max_people`` of those that training may see, 0 all; ``chunk`` events an update.

    ``max_questions`` a person and moment are scored in S0; S3 samples ``num_samples`` texts of ``num_states`` states and keeps
    what is worth ``least_reward``; SFT reads ``sft_examples``.
    """

    max_people: int = 0
    seed: int = 1
    chunk: int = 20
    max_tokens: int = 160
    dialect: DialectName = "brief"
    max_questions: int = 20
    thresholds: Thresholds = Thresholds()
    rules: Rules = Rules()
    sft_examples: int = 2_400
    num_states: int = 2_000
    num_samples: int = 4
    batch_states: int = 8
    sampling_temperature: float = 0.8
    least_reward: float = 0.9
    checkpoint_minutes: float = 5.0
    grpo: GrpoSettings = GrpoSettings()


TINY = Course(
    max_people=20,
    max_tokens=80,
    max_questions=5,
    thresholds=Thresholds(top_share=0.8, least_p=0.4, min_targets=2),
    rules=Rules(min_targets=2, min_passed=1, max_tokens=80),
    sft_examples=8,
    num_states=2,
    num_samples=2,
    batch_states=1,
    least_reward=-1.0,
    checkpoint_minutes=0.25,
    grpo=GrpoSettings(plan=Plan(num_samples=2, max_tokens=80), steps=2, episodes_per_step=1, micro_batch=2, max_completion=120),
)
"""The real model and the real code on a handful of people: whether it runs, not how well."""


class Begun(Struct, frozen=True):
    """What the folder of a run says of it: the course, the hash of the people's events, and what it was begun with."""

    course: Course
    people_sha256: str
    num_people: int
    versions: dict[str, str]


class AnotherCourse(Exception):
    """A setting is no setting, or the folder holds a run of another course; the message names it and what to do."""


def with_settings(course: Course, told: Sequence[str]) -> Course:
    """The course with settings such as ``grpo.plan.mode=each``. Raises :class:`AnotherCourse`."""
    settings = to_builtins(course)
    for one in told:
        path, equals, value = one.partition("=")
        place: Any = settings
        *folders, name = path.split(".")
        for folder in folders:
            place = place.get(folder, {}) if isinstance(place, dict) else {}
        if not equals or not isinstance(place, dict) or name not in place or isinstance(place[name], dict):
            raise AnotherCourse(f"{one!r} is no setting: write name=value, such as grpo.steps=40 (--set help lists all)")
        place[name] = _read(value)
    try:
        return convert(settings, Course)
    except msgspec.ValidationError as error:
        raise AnotherCourse(f"a setting has the wrong kind of value: {error}") from error


def _read(value: str) -> object:
    try:
        return msgspec.json.decode(value)
    except msgspec.DecodeError:
        return value


def begin(folder: Path, course: Course, people: Iterable[Person]) -> Begun:
    """The run of this folder, begun now or before. Raises :class:`AnotherCourse` where it was begun otherwise."""
    people = tuple(people)
    begun = Begun(course, hash_of(people), len(people), _versions())
    file = folder / FILE
    if file.exists():
        before = msgspec.json.decode(file.read_bytes(), type=Begun)
        if before.people_sha256 != begun.people_sha256:
            raise AnotherCourse(f"{folder} holds a run on other people's events; name another one with --run")
        return before
    write_lines(file, [begun])
    return begun


def course_of(folder: Path) -> Course | None:
    """The course of the run in this folder, None where none was begun. Raises :class:`AnotherCourse`: it cannot be read."""
    file = folder / FILE
    if not file.exists():
        return None
    try:
        return msgspec.json.decode(file.read_bytes(), type=Begun).course
    except msgspec.MsgspecError as error:
        raise AnotherCourse(f"{file} is no course of this version ({error}); name another run with --run") from error


def hash_of(people: Iterable[Person]) -> str:
    """The SHA-256 of everything these people did."""
    digest = hashlib.sha256()
    for person in people:
        digest.update(msgspec.json.encode(person))
    return digest.hexdigest()


def settings_of(settings: Mapping[str, Any], before: str = "") -> list[str]:
    """Every setting as it can be told: ``grpo.plan.mode=paper-centred``."""
    lines: list[str] = []
    for name, value in settings.items():
        path = f"{before}{name}"
        lines += settings_of(value, path + ".") if isinstance(value, dict) else [f"{path}={value}"]
    return lines


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
