"""The stages S0 to S3 of one run, on people whose history decides what they take: what comes out, and what a stop costs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from random import Random

import msgspec
import pytest

from evaluation.catalogue import Catalogue
from evaluation.people import fold_of
from evaluation.readers import prior
from evaluation.records import Person
from prefstream.events import Rating
from streams.evolution.plain import parse_prompt
from streams.evolution.prose import parse
from streams.evolution.records import Completion, Prompt
from tests.training.cases import rating
from training import stages
from training.course import Course
from training.examples import read_examples
from training.merging import Rules, merge_claims
from training.pruning import Scored, Thresholds
from training.rollouts import Sampled
from training.rounds import Staff
from training.stages import NotReady, Stage, episodes_of, merging, pruning, sampling, signal
from training.teachers import by_code
from training.workshop import FOLD_SEED, Workshop

RULES = Rules(min_targets=2, min_passed=2)
COURSE = Course(
    chunk=10,
    max_questions=5,
    thresholds=Thresholds(top_share=0.9, least_p=0.5, min_targets=2),
    rules=RULES,
    num_states=5,
    num_samples=2,
    batch_states=2,
    least_reward=0.0,
)


def opposites(num_people: int = 30, num_films: int = 40) -> list[Person]:
    """Half of each fold love war and hate musicals, half the other way round; so all films are liked equally."""
    users = [f"u{number:02}" for number in range(num_people)]
    users.sort(key=lambda user: fold_of(user, COURSE.seed + FOLD_SEED))
    return [_one_sided(user, place % 2, num_films) for place, user in enumerate(users)]


def _one_sided(user: str, taste: int, num_films: int) -> Person:
    films = Random(user).sample(range(num_films), num_films)
    ratings = (
        rating(user, film, 5.0 if film % 2 == taste else 1.0, "war" if film % 2 else "musical", at=day)
        for day, film in enumerate(films)
    )
    return Person(user, tuple(ratings))


def loved_by(person: Person) -> str:
    return next(event.item.attributes["genre"][0] for event in person.events if isinstance(event, Rating) and event.value == 5)


@pytest.fixture(scope="module")
def people() -> list[Person]:
    return opposites()


def staff(shop: Workshop) -> Staff:
    return Staff(lambda fold: by_code(fold.catalogue, RULES), shop.verify, merge_claims(RULES))


def lines(folder: Path) -> list[Stage]:
    return [msgspec.json.decode(line, type=Stage) for line in (folder / stages.STAGES).read_bytes().splitlines()]


class Policy:
    """Says what it is told, by the seed of its batch and the place of the prompt in it; fails at one batch."""

    def __init__(self, failing: int = -1) -> None:
        self.seeds: list[int] = []
        self._failing = failing

    def seed(self, seed: int) -> None:
        if len(self.seeds) == self._failing:
            raise ConnectionError
        self.seeds.append(seed)

    def __call__(self, prompts: Sequence[Prompt]) -> list[Sampled]:
        loved = ("war", "musical", "drama")
        told = [re.findall(r"Favourites: .*?\.", prompt.turns[1].content) for prompt in prompts]
        texts = [f"Loves {loved[(self.seeds[-1] + place) % 3]}. {' '.join(rest)}" for place, rest in enumerate(told)]
        return [Sampled((), (), Completion(text, "stop", 1, 5)) for text in texts]


@pytest.fixture(scope="module")
def shop(people: list[Person], tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A run with S0 to S2 done."""
    shop = Workshop(tmp_path_factory.mktemp("run"), COURSE, people)
    signal(shop)
    pruning(shop)
    merging(shop, staff(shop))
    return shop


def test_a_history_that_decides_is_seen(shop: Workshop) -> None:
    results = lines(shop.folder)[0].results
    assert int(str(results["num_people"])) > 20
    assert float(str(results["nll_without"])) > 0.6
    assert float(str(results["nll_with"])) < 0.4


def test_what_is_kept_can_be_answered(shop: Workshop) -> None:
    kept = [msgspec.json.decode(line, type=Scored) for line in (shop.folder / stages.PRUNED).read_bytes().splitlines()]
    control = (shop.folder / stages.CONTROL).read_bytes().splitlines()
    assert len(kept) == len(control) > 50
    assert min(one.log_p1 for one in kept) >= -0.7


def test_what_is_merged_is_true_and_its_prompt_is_one_of_production(shop: Workshop) -> None:
    examples = list(read_examples(shop.folder / stages.MERGED))
    assert len(examples) > 20
    for example in examples:
        (section,) = parse(example.completion).sections
        assert set(section.loves) | set(section.likes) <= {loved_by(shop.people[example.user])}
        assert parse_prompt(Prompt(example.turns, 1)) is None, "of the dialect of the course, not of another"
        assert "<new_events>" in example.turns[1].content


def test_merging_gains_nothing_where_counting_is_right_already(shop: Workshop) -> None:
    later = lines(shop.folder)[2].results["later"]
    assert isinstance(later, dict)
    assert later["merged"] == later["counting"] == 100.0


def test_what_is_done_is_not_done_again(shop: Workshop) -> None:
    before = (shop.folder / stages.MERGED).stat().st_mtime_ns
    signal(shop)
    pruning(shop)
    merging(shop, staff(shop))
    assert len(lines(shop.folder)) == 3
    assert (shop.folder / stages.MERGED).stat().st_mtime_ns == before


def test_episodes_begin_where_pruning_says(shop: Workshop) -> None:
    episodes = episodes_of(shop, 2, use_control=False)
    assert {len(episode.moments) for episode in episodes} == {2}
    for episode in episodes:
        first, second = episode.moments
        assert second.after > first.after
        assert (episode.text == "") == (first.after == first.num_new)
    with pytest.raises(NotReady, match=r"lower grpo\.horizon"):
        episodes_of(shop, 9, use_control=True)


def test_what_a_stage_needs_is_named(people: list[Person], tmp_path: Path) -> None:
    with pytest.raises(NotReady, match="python -m training signal"):
        pruning(Workshop(tmp_path, COURSE, people))


def test_sampling_goes_on_with_the_batch_it_was_at(people: list[Person], tmp_path: Path) -> None:
    shops = [Workshop(tmp_path / name, COURSE, people) for name in ("whole", "stopped")]
    for shop in shops:
        shop.folder.mkdir()
    sampling(shops[0], Policy)
    with pytest.raises(ConnectionError):
        sampling(shops[1], lambda: Policy(failing=1))
    assert not (shops[1].folder / stages.SAMPLED).exists()
    policy = Policy()
    sampling(shops[1], lambda: policy)
    assert len(policy.seeds) == 2
    whole, stopped = ((shop.folder / stages.SAMPLED).read_bytes() for shop in shops)
    assert whole == stopped
    assert lines(shops[1].folder)[0].results == lines(shops[0].folder)[0].results


def test_a_policy_is_made_only_to_sample(people: list[Person], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped after the last batch, before its output is written."""

    def stop(*_: object) -> int:
        raise ConnectionError

    shop = Workshop(tmp_path, COURSE, people)
    with monkeypatch.context() as patched:
        patched.setattr(stages, "write_examples", stop)
        with pytest.raises(ConnectionError):
            sampling(shop, Policy)

    def nobody() -> Policy:
        raise AssertionError("everything is sampled")

    sampling(shop, nobody)
    assert (tmp_path / stages.SAMPLED).exists()


def test_a_model_verifies_where_one_is_named(people: list[Person], tmp_path: Path) -> None:
    model = prior.make(Catalogue.of(people))
    shop = Workshop(tmp_path, COURSE, people, model)
    assert set(map(id, shop.readers.values())) == {id(model)}
    assert set(shop.readers) == {person.user for person in people}
