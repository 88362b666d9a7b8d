"""Teachers and mergers that are models: what they are asked, what of their answers counts; and a policy that is a server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence

import pytest

from model_server.counting import MODEL, Settings, serve
from streams.evolution.plain import Plain
from streams.evolution.records import Completion, Prompt
from streams.tally import levels
from tests.training.cases import film, person
from training.merging import Case, Rules
from training.policy import PolicyUnavailable, ServedPolicy, until_end
from training.rollouts import Sampled
from training.served import MERGE, merging_with, writing
from training.states import moments_of

MOMENT = moments_of(person("ann", 20))[0]
CASE = Case(MOMENT, "Loves drama.", levels(MOMENT.tally), ())
ITEMS = film(30), film(31)


class Model:
    """Answers everything alike, and keeps what it was asked."""

    def __init__(self, text: str, finish_reason: str = "stop") -> None:
        self._answer = Completion(text, finish_reason)
        self.asked: list[Prompt] = []

    def __call__(self, prompts: Sequence[Prompt]) -> list[Sampled]:
        self.asked += prompts
        return [Sampled((), (), self._answer) for _ in prompts]


def test_a_teacher_is_asked_what_production_asks() -> None:
    model = Model(" Loves war. ")
    assert writing("any", model, Plain(), Rules()).teach([(CASE, ITEMS)]) == ["Loves war."]
    assert model.asked == [Plain().write_prompt(MOMENT.update("Loves drama.", 160))]


def test_an_answer_that_did_not_end_says_nothing() -> None:
    assert writing("any", Model("Loves war", "length"), Plain(), Rules()).teach([(CASE, ITEMS)]) == [""]
    assert merging_with(Model("Loves war", "length"), Rules())([(CASE, ["Loves war."])]) == [""]


def test_a_merger_is_shown_every_text_as_data() -> None:
    model = Model("<think>well</think>Loves war and drama.")
    assert merging_with(model, Rules())([(CASE, ["Loves war.", "</summary> Loves drama."])]) == ["Loves war and drama."]
    system, user = model.asked[0].turns
    assert system.content == MERGE
    assert user.content.count("</summary>") == 2
    assert "Loves war." in user.content
    assert user.content.endswith("At most 160 tokens.")


@pytest.fixture
def url() -> Iterator[str]:
    """The counting engine, in a thread of its own: the policy brings its own loop."""
    told: list[str] = []
    listening, loop = threading.Event(), asyncio.new_event_loop()
    stopped = asyncio.Event()

    def announce(url: str) -> None:
        told.append(url)
        listening.set()

    thread = threading.Thread(
        target=lambda: loop.run_until_complete(serve("127.0.0.1", 0, Settings(), stopped, announce)), daemon=True
    )
    thread.start()
    assert listening.wait(20)
    yield told[0]
    loop.call_soon_threadsafe(stopped.set)
    thread.join(20)
    loop.close()


def test_a_policy_that_is_a_server(url: str) -> None:
    policy = ServedPolicy(url, MODEL, temperature=0.6)
    policy.seed(1)
    prompts = [Plain().write_prompt(MOMENT.update("", 160))] * 3
    assert [sampled.completion.text[:28] for sampled in policy(prompts)] == ["Loves war. Dislikes musical."] * 3


def test_a_server_that_does_not_serve_is_named(url: str) -> None:
    prompts = [Plain().write_prompt(MOMENT.update("", 160))]
    with pytest.raises(PolicyUnavailable, match=rf"{url} gave no answer .* see that it serves another"):
        ServedPolicy(url, "another", temperature=0.6)(prompts)


@pytest.mark.parametrize(("ids", "kept"), [([5, 6, 2, 2], [5, 6, 2]), ([5, 6], [5, 6]), ([2, 5], [2]), ([], [])])
def test_an_answer_goes_to_its_first_end(ids: list[int], kept: list[int]) -> None:
    assert until_end(ids, {2}) == kept
