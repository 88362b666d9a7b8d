"""A whole run in a small world whose tastes are known: what it finds, that it goes on after a stop, and what it refuses."""

from __future__ import annotations

import asyncio
from pathlib import Path
from unittest.mock import Mock

import pytest
from msgspec.structs import replace

from evaluation.__main__ import main
from evaluation.checks import Constant
from evaluation.choices import PARTS, Asked, InvalidChoice, choose
from evaluation.crossfit import folds_of
from evaluation.grading import MakeReader
from evaluation.kept_answers import KeptAnswers
from evaluation.measuring import MIN_PEOPLE, Asking, Readers, Sitting, Writer
from evaluation.people import fold_of, load_people
from evaluation.readers import catalogue, ceiling, lexical, prior
from evaluation.records import Exam
from evaluation.running import Measured, run
from evaluation.scope import POOLED, Scope, num_steps
from evaluation.settings import Full, LastChunk, Streaming, TextOnly
from evaluation.slices.slice import Slice
from evaluation.tasks.movielens import questions_of
from evaluation.views import Summaries
from evaluation.writers import NoSuchEngine, engine_named, policy_of
from model_server.counting import Counting
from tests.evaluation.films import raters
from training.teaching import FOLD_SEED, FOLDS

pytestmark = pytest.mark.timeout(300)
PEOPLE = raters(36, 72)
MAKES: dict[str, MakeReader] = {
    "prior": prior.make,
    "ceiling": ceiling.make,
    "catalogue": catalogue.make,
    "lexical": lexical.make,
    "constant": lambda _: Constant(),
}
SCOPE = Scope(
    tasks=("order_matched",),
    own=(Full(), Streaming(5)),
    seeds=(0,),
    num_pooled=5,
    pooled=(POOLED,),
)


class Ran:
    """A run into a folder of kept answers, and the steps that were shown."""

    def __init__(self, folder: Path, scope: Scope = SCOPE) -> None:
        self.measured = Measured()
        self.shown: list[float] = []
        self.kept = KeptAnswers(folder)
        self.asking = Asking(Readers(MAKES), self.kept, lambda what, done: self.shown.append(done))
        engine = engine_named("counting")
        policy, answers = policy_of(engine.profile), Counting()
        writer = Writer(engine.name, Summaries(answers, policy), answers, policy)
        asyncio.run(run(scope, PEOPLE, [writer], self.asking, lambda _: (), self.measured))

    def right(self, setting: str, reader: str = "catalogue") -> float:
        found = [s.accuracy.mean for s in self.measured.scores if (s.setting, s.reader) == (setting, reader)]
        return sum(found) / len(found)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("answers")


@pytest.fixture(scope="module")
def ran(folder: Path) -> Ran:
    return Ran(folder)


def test_a_summary_tells_what_people_like(ran: Ran) -> None:
    assert ran.right("prior alone", "prior") < 70
    assert ran.right("streaming, 5 updates") > 90
    assert ran.right("another person's, streaming, 5 updates, a reader that expects it") < 70


def test_every_check_is_made(ran: Ran) -> None:
    names = [check.name for check in ran.measured.checks]
    for seed in SCOPE.seeds:
        about = f"order_matched, seed {seed}"
        assert f"{about}: a constant reader" in names
        assert f"{about}, counting: summary - prior, at least" in names
        assert f"{about}, counting: streaming, 5 updates = full re-inference, byte for byte" in names
    # So few people's answers to somebody else's summary are anything.
    assert [check for check in ran.measured.checks if not check.held and "another's" not in check.name] == []


def test_every_step_was_foreseen_and_shown(ran: Ran) -> None:
    assert ran.asking.num_steps == num_steps(SCOPE, 1, 0)
    assert ran.shown == sorted(ran.shown)


def test_a_curve_has_a_point_for_each_update(ran: Ran) -> None:
    points = ran.measured.points
    assert {point.setting for point in points} == {POOLED.name}
    assert [point.updates for point in points] == [1, 2]
    assert all(point.accuracy.num_users >= MIN_PEOPLE and 0 < point.text_tokens <= 160 for point in points)


def test_a_published_file_of_short_histories_is_measured(tmp_path: Path) -> None:
    people = raters(30, 8)
    folds = folds_of(people, 0)
    questions = [
        question
        for fold in folds
        for user in sorted(fold.asked)
        for question in questions_of("order", people[user], 4, 4, fold.catalogue, 0, 3)
    ]
    file = ("mine", lambda seed: Exam("as published", people, tuple(questions)))
    ran = Ran(tmp_path, Scope(tasks=(), seeds=(0,), readers=("lexical",), files=(file,)))
    assert {(one.task, one.reader) for one in ran.measured.scores} == {
        ("mine", reader) for reader in ("prior", "ceiling", "catalogue", "lexical")
    }
    assert ran.right("streaming, 2 updates") > 60


def test_what_was_answered_is_not_asked_again(ran: Ran, folder: Path) -> None:
    again = Ran(folder)
    assert again.kept.num_asked == 0
    assert [one.accuracy for one in again.measured.scores] == [one.accuracy for one in ran.measured.scores]


def test_other_views_are_other_answers(ran: Ran, folder: Path) -> None:
    assert len(list(folder.glob("*.npy"))) == ran.kept.num_asked > 10


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (Asked(tasks="ordr"), "--tasks: there is no ordr; choose of order, order_matched"),
        (Asked(settings="streaming-0"), "--settings: there is no streaming-0; choose of full, last"),
        (Asked(readers="bert"), "--readers: there is no bert; choose of"),
        (Asked(seeds="one"), "--seeds: one are not numbers"),
        (Asked(files=("mind",)), "write FORMAT=PATH, with one of alignxplore"),
        (Asked(parts="exma"), "--parts: there is no exma; choose of exam, everybody"),
        (Asked(parts="slices,long"), "--parts: slices are held against the exam, so name it, too"),
        (Asked(settings="streaming-2"), "--settings: streaming-5 is what is checked"),
    ],
)
def test_what_cannot_be_is_one_sentence(asked: Asked, said: str) -> None:
    with pytest.raises(InvalidChoice) as error:
        choose(asked)
    assert said in str(error.value)


def test_an_engine_is_a_profile_at_an_address() -> None:
    engine = engine_named("smollm2-135m-cpu@http://127.0.0.1:8000")
    assert (engine.name, engine.url, policy_of(engine.profile).dialect.name) == (
        *("smollm2-135m-cpu", "http://127.0.0.1:8000"),
        engine.profile.dialect,
    )
    with pytest.raises(NoSuchEngine, match="write counting, or PROFILE@URL"):
        engine_named("smollm2-135m-cpu")


def test_nobody_is_asked_whom_a_summariser_learnt_from() -> None:
    engine = engine_named("prefstream-135m-cpu@http://127.0.0.1:8000")
    taught = {person.user for person in load_people().values() if fold_of(person.user, FOLD_SEED) in FOLDS}
    assert engine.learnt_from == taught
    asked = Asked(engines=("counting", "prefstream-135m-cpu@http://127.0.0.1:8000"))
    assert choose(asked).scope.left_out == taught
    assert choose(Asked()).scope.left_out == frozenset()


def test_people_who_are_left_out_are_not_asked(tmp_path: Path) -> None:
    left_out = frozenset(sorted(PEOPLE)[:6])
    asked: list[Sitting] = []

    def note(sitting: Sitting) -> tuple[Slice, ...]:
        asked.append(sitting)
        return ()

    engine = engine_named("counting")
    policy, answers = policy_of(engine.profile), Counting()
    writer = Writer(engine.name, Summaries(answers, policy), answers, policy)
    asking = Asking(Readers(MAKES), KeptAnswers(tmp_path), lambda what, done: None)
    scope = replace(SCOPE, num_pooled=0, left_out=left_out)
    asyncio.run(run(scope, PEOPLE, [writer], asking, note, Measured()))
    assert asked
    assert all(question.user not in left_out for sitting in asked for question in sitting.exam.questions)


def test_settings_and_people_are_chosen() -> None:
    scope = choose(Asked(is_quick=True, settings="full,streaming-5,text-only-3,last", num_people=7, seeds="3")).scope
    assert scope.own == (Full(), Streaming(5), TextOnly(Streaming(3)), LastChunk())
    assert (scope.max_people, scope.seeds, scope.tasks, scope.readers) == (7, (3,), ("order_matched", "next_popqual"), ())


def parts_of(asked: Asked) -> dict[str, bool]:
    choice = choose(asked)
    scope = choice.scope
    return {
        "exam": scope.has_exam,
        "everybody": scope.has_everybody,
        "slices": choice.has_slices,
        "long": scope.has_long,
        "curves": bool(scope.num_pooled),
        "attacks": scope.has_attacks,
    }


def test_parts_are_chosen() -> None:
    assert parts_of(Asked()) == dict.fromkeys(PARTS, True)
    assert {part for part, wanted in parts_of(Asked(is_quick=True)).items() if wanted} == {"exam", "slices", "attacks"}
    for part in set(PARTS) - {"slices"}:
        assert parts_of(Asked(parts=part)) == dict.fromkeys(PARTS, False) | {part: True}


def test_a_part_alone_is_measured(tmp_path: Path) -> None:
    scope = replace(SCOPE, has_exam=False, has_everybody=True, num_pooled=0)
    ran = Ran(tmp_path, scope)
    assert {score.task for score in ran.measured.scores} == {"order_matched, everybody"}
    assert {"streaming, 2 updates", "streaming, 10 updates"} < {score.setting for score in ran.measured.scores}
    assert all(check.held for check in ran.measured.checks)
    assert sum("full re-inference - streaming" in check.name for check in ran.measured.checks) == 2
    assert ran.shown[-1] <= num_steps(scope, 1, 0)


def test_a_wrong_word_is_told_on_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--tasks", "ordr", "--cache", str(tmp_path)]) == 2
    assert "there is no ordr" in " ".join(capsys.readouterr().err.split())


def test_ctrl_c_is_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    monkeypatch.setattr("evaluation.whole.measure", Mock(side_effect=KeyboardInterrupt))
    assert main(["--quick", "--cache", str(tmp_path)]) == 130
    assert "the same command goes on from there" in " ".join(capsys.readouterr().err.split())
