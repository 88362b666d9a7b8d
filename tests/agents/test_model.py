"""The model a worker evolves with: asked for, written for and counted as its profile says, or refused with what to change."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from agents.model import Model, read_model
from agents.settings import PREFIX, InvalidSettings, Settings
from model_server.client import CallOptions
from model_server.profiles import load_profile, profile_names
from prefstream.summaries import ModelUsed
from streams.evolution.dialects import dialect_of
from streams.tokens import estimate_tokens

SMALL = "smollm2-135m-cpu"


IN_GERMAN = """
import sys
from agents.model import read_model
from agents.settings import Settings
from streams.evolution.guards import GuardLimits, judge
from streams.evolution.records import Completion, Prompt, Turn

read_model(Settings())
opened = []
sys.addaudithook(lambda event, _: opened.append(event) if event in ("open", "import") else None)
answer = Completion("Mag kluge Krimis und stille Dramen, aber keine lauten Musicals.", "stop")
prompt = Prompt((Turn("system", "Say in English what the person likes, and why they like it."),), 80)
print(judge(answer, prompt, "Likes war.", GuardLimits(max_tokens=160)).reason, opened)
"""


@pytest.fixture(autouse=True)
def _nothing_is_prepared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever weights this machine has."""
    monkeypatch.setenv("PREFSTREAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PREFSTREAM_WEIGHTS", raising=False)


def model_of(**settings: object) -> Model:
    return read_model(Settings.model_validate(settings))


def test_a_call_says_what_the_profile_says() -> None:
    profile = load_profile(SMALL)
    assert model_of(model_profile=SMALL).options == CallOptions(
        "smollm2-135m",
        temperature=profile.sampling.temperature,
        top_p=profile.sampling.top_p,
        top_k=profile.sampling.top_k,
        repetition_penalty=profile.sampling.repetition_penalty,
    )


def test_a_model_that_thinks_is_asked_to() -> None:
    profile = replace(load_profile(SMALL), thinking_tokens=256, chat_template_kwargs={"enable_thinking": True})
    options = replace(model_of(), profile=profile).options
    assert (options.thinking_tokens, options.chat_template_kwargs) == (256, {"enable_thinking": True})


def test_a_summary_says_which_model_wrote_it() -> None:
    plain, theirs = dialect_of("plain"), dialect_of("alignxplore")
    assert model_of().used == ModelUsed("counting", "counting", "plain", plain.prompt_sha256)
    other = model_of(model_profile="alignxplore-plus-8b-h100", model_name="ours")
    assert other.used == ModelUsed("ours", "alignxplore-plus-8b-h100", "alignxplore", theirs.prompt_sha256)


def test_an_answer_is_in_the_profiles_grammar() -> None:
    profile = load_profile(SMALL)
    assert profile.grammar == "sections"
    assert model_of(model_profile=SMALL).used.prompt_sha256 == dialect_of("plain", "sections").prompt_sha256


def test_the_served_name_can_be_another() -> None:
    assert (model_of(model_profile=SMALL).options.model, model_of(model_name="ours").options.model) == ("smollm2-135m", "ours")


def test_without_a_tokenizer_tokens_are_estimated() -> None:
    tokens = model_of().tokens
    assert (tokens.source, tokens.count("Loves drama.")) == ("estimate", estimate_tokens("Loves drama."))


def test_a_tokenizer_that_is_named_counts(tmp_path: Path, tokenizer_file: Path) -> None:
    tokens = model_of(model_tokenizer=tokenizer_file).tokens
    assert (tokens.source, tokens.count("Loves drama.")) == (str(tokenizer_file), 3)


def test_the_tokenizer_of_the_profiles_weights_counts(monkeypatch: pytest.MonkeyPatch, tokenizer_file: Path) -> None:
    monkeypatch.setenv("PREFSTREAM_WEIGHTS", str(tokenizer_file.parent))
    assert model_of(model_profile="qwen3-8b-h100").tokens.source == str(tokenizer_file)


def test_where_there_are_no_weights_a_profiles_tokens_are_estimated() -> None:
    sources = [model_of(model_profile=name).tokens.source for name in (SMALL, "qwen3-8b-h100")]
    assert sources == ["estimate", "estimate"]


def test_a_file_that_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match=f"^{PREFIX}MODEL_TOKENIZER: {tmp_path}: .*; name the model's tokenizer.json$"):
        model_of(model_tokenizer=tmp_path)


def test_a_full_flush_has_to_fit_the_context() -> None:
    """The largest flush is named, and is the largest."""
    with pytest.raises(InvalidSettings, match=f"^{PREFIX}FLUSH_TOKENS: an update takes up to [0-9]+ tokens") as refused:
        model_of(model_profile=SMALL, flush_tokens=4_000)
    assert re.search(r"old summary 160, events 4000, answer \d{3}\)", str(refused.value))
    assert f"{SMALL} has room for 4096: " in str(refused.value)
    most = int(str(refused.value).rsplit("write ", 1)[1].removesuffix(" or less"))
    assert model_of(model_profile=SMALL, flush_tokens=most).name == "smollm2-135m"
    with pytest.raises(InvalidSettings):
        model_of(model_profile=SMALL, flush_tokens=most + 1)


def test_a_summary_has_to_fit_the_context() -> None:
    with pytest.raises(InvalidSettings, match=f"lower {PREFIX}MAX_SUMMARY_TOKENS, or serve a longer context$"):
        model_of(model_profile=SMALL, max_summary_tokens=2_000)


def test_a_server_gets_a_quarter_more_than_it_computes_at_once() -> None:
    server = load_profile(SMALL).server
    assert server is not None
    assert (server.max_num_seqs, model_of(model_profile=SMALL).capacity) == (32, 40)
    assert model_of().capacity == 32


@pytest.mark.parametrize(
    ("profile", "wanted", "start", "capacity"),
    [("counting", 3, 3, 3), ("counting", 64, 64, 64), (SMALL, 3, 3, 3), (SMALL, 60, 40, 60), (SMALL, 100, 40, 64)],
)
def test_the_capacity_can_be_another_up_to_what_the_server_lets_in(
    profile: str, wanted: int, start: int, capacity: int
) -> None:
    model = model_of(model_profile=profile, model_capacity=wanted)
    assert (model.start, model.capacity) == (start, capacity)


@pytest.mark.parametrize("name", profile_names())
def test_a_call_may_take_as_long_as_the_profile_says(name: str) -> None:
    assert model_of(model_profile=name).timeout_seconds == load_profile(name).timeout_seconds
    assert model_of(model_profile=name, model_timeout_seconds=7).timeout_seconds == 7


def test_who_answers_slowly_gets_longer_than_a_minute() -> None:
    """With all places taken, an answer takes 40 s on two cores (measured) and about 85 s with long thoughts on a GPU."""
    slow = (SMALL, "alignxplore-plus-8b-h100", "alignxplore-plus-8b-h200")
    assert all(load_profile(name).timeout_seconds >= 120 for name in slow)
    assert load_profile("counting").timeout_seconds == 60


def test_a_prompt_has_the_room_that_a_thought_leaves() -> None:
    model = model_of(model_profile=SMALL)
    thinking = replace(model, profile=replace(model.profile, thinking_tokens=96))
    assert (model.context.max_tokens, thinking.context.max_tokens) == (4_096, 4_000)
    assert thinking.context.count_tokens == model.tokens.count_prompt


def test_the_counting_engine_has_no_context() -> None:
    assert model_of(flush_tokens=10**9).name == "counting"


def test_a_judgement_reads_no_file() -> None:
    """It is made on the worker's loop, and the guards' table of languages takes half a second."""
    done = subprocess.run([sys.executable, "-c", IN_GERMAN], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("language []\n", "")
