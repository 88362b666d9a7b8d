"""All stages on a real torch, with a tiny model: killed between and within stages, a run ends as one that was not."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from model_server.profiles import load_profile
from model_server.weights import prepare
from training.reward_log import read_rewards
from training.stages import STAGES, Stage

ROOT = Path(__file__).parents[2]
ENGINE = ROOT / ".venv-engine" / "bin" / "python"
SECONDS = 300.0
SETTINGS = (
    "max_people=12",
    "max_tokens=40",
    "grpo.plan.max_tokens=40",
    "grpo.max_completion=60",
    "checkpoint_minutes=0",
    "sft_examples=16",
)
_MAKE = """
import sys
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
shape = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1)
ids = dict(bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
config = LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=4096, tie_word_embeddings=True, **shape, **ids)
LlamaForCausalLM(config).save_pretrained(sys.argv[2])
tokenizer.save_pretrained(sys.argv[2])
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of two layers with SmolLM2's tokenizer."""
    folder = tmp_path_factory.mktemp("weights")
    subprocess.run([ENGINE, "-c", _MAKE, prepare(load_profile("smollm2-135m-cpu")), folder], check=True, capture_output=True)
    return folder


def start(run: Path, weights: Path) -> subprocess.Popen[bytes]:
    told = [word for setting in SETTINGS for word in ("--set", setting)]
    command: list[str | Path] = [ENGINE, "-m", "training", "all", "--run", run, "--tiny", "--weights", weights, *told]
    with run.with_suffix(".log").open("ab") as log:
        return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env=os.environ | {"OMP_NUM_THREADS": "1"})


def kill_when(run: Path, weights: Path, reached: Callable[[], bool]) -> None:
    """Starts the run and kills it with SIGKILL as soon as it has got somewhere, and in any case."""
    process = start(run, weights)
    try:
        deadline = time.monotonic() + SECONDS
        while not reached():
            assert process.poll() is None, run.with_suffix(".log").read_text()[-3000:]
            assert time.monotonic() < deadline
            with_patience(process)
    finally:
        process.kill()
        process.wait()


def end(run: Path, weights: Path) -> None:
    """Lets the run go on to its end."""
    process = start(run, weights)
    try:
        assert process.wait(SECONDS) == 0, run.with_suffix(".log").read_text()[-3000:]
    finally:
        process.kill()
        process.wait()


def with_patience(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(0.02)
    except subprocess.TimeoutExpired:
        return


@pytest.mark.timeout(900)
def test_a_run_that_was_killed_again_and_again(weights: Path, tmp_path: Path) -> None:
    """Between two stages, and within each that takes long; in the end nothing was done twice and nothing is missing."""
    run = tmp_path / "run"
    kill_when(run, weights, lambda: (run / "signal.jsonl").exists())
    kill_when(run, weights, lambda: (run / "sft" / "checkpoint-1" / "trainer_state.json").exists())
    learnt = [(run / name).read_bytes() for name in ("signal.jsonl", "pruned.jsonl", "merged.jsonl", "sft.jsonl")]
    kill_when(run, weights, lambda: b"\n" in _read(run / "sampled.batches.jsonl"))
    kill_when(run, weights, lambda: (run / "grpo" / "checkpoint-1" / "trainer_state.json").exists())
    end(run, weights)
    assert (run / "grpo" / "adapter" / "adapter_model.safetensors").exists()
    assert learnt == [(run / name).read_bytes() for name in ("signal.jsonl", "pruned.jsonl", "merged.jsonl", "sft.jsonl")]
    assert len((run / "sampled.batches.jsonl").read_bytes().splitlines()) == 2
    assert [step.step for step in read_rewards(run / "grpo" / "rewards.jsonl")] == [0, 1]
    told = [msgspec.json.decode(line, type=Stage).stage for line in (run / STAGES).read_bytes().splitlines()]
    assert len(set(told)) == len(told)
    assert told[-1] == "grpo"


def test_the_dry_run_for_a_larger_model() -> None:
    told = subprocess.run(
        [ENGINE, "-m", "training", "dry-run", "--model", "8b", "--gpus", "4"], cwd=ROOT, capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr[-2000:]
    assert told.stdout.count("accelerate launch --config_file training/configurations/zero3.yaml --num_processes 4") == 2
    assert "accelerate's launcher and TRL's parser" in told.stdout
    assert "Not run here: all of it." in told.stdout


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""
