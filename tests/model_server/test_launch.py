"""A profile as vLLM's command: whatever it says is in it, and it can be copied into a shell."""

from __future__ import annotations

import itertools
import json
import shlex
from pathlib import Path
from typing import Literal

import pytest
from msgspec.structs import replace

from model_server.launch import Launch, launch_of
from model_server.profiles import Server, load_profile, profile_names

SHOWN = """\
VLLM_HTTP_TIMEOUT_KEEP_ALIVE=120 \\
  PROMETHEUS_DISABLE_CREATED_SERIES=true \\
  HF_HUB_OFFLINE=1 \\
  VLLM_NO_USAGE_STATS=1 \\
  '/my env/bin/python' -m vllm.entrypoints.openai.api_server \\
  --model '/my models/x' \\
  --served-model-name alignxplore-plus-8b \\
  --dtype bfloat16 \\
  --max-model-len 8192 \\
  --max-num-seqs 320 \\
  --max-num-batched-tokens 16384 \\
  --max-num-queued-reqs 480 \\
  --scheduling-policy priority \\
  --kv-cache-dtype fp8 \\
  --shutdown-timeout 120 \\
  --generation-config vllm \\
  --quantization fp8 \\
  --reasoning-parser qwen3 \\
  --gpu-memory-utilization 0.92 \\
  --enable-prefix-caching \\
  --enable-chunked-prefill \\
  --enable-prompt-tokens-details \\
  --disable-uvicorn-access-log \\
  --host 127.0.0.1 \\
  --port 8000 \\
  --api-key 'a secret'"""


def launch(name: str, *more: str, **changes: object) -> Launch:
    profile = load_profile(name)
    assert profile.server is not None
    server: Server = replace(profile.server, **changes)
    return launch_of(profile, server, Path("/my models/x"), "/my env/bin/python", "127.0.0.1", 8000, more)


def test_the_command_as_it_is_shown() -> None:
    shown = launch("alignxplore-plus-8b-h100", "--api-key", "a secret").shown()
    assert shown == SHOWN


def test_what_is_shown_is_what_is_run() -> None:
    made = launch("smollm2-135m-cpu")
    words = shlex.split(made.shown().replace("\\\n", ""))
    assert words == [*(f"{name}={value}" for name, value in made.environment.items()), *made.command]


@pytest.mark.parametrize(
    ("changes", "flags"),
    [
        ({"prefix_caching": False}, ("--no-enable-prefix-caching",)),
        ({"chunked_prefill": False}, ("--no-enable-chunked-prefill",)),
        ({"enforce_eager": True}, ("--enforce-eager",)),
        ({"kv_cache_mib": 3}, ("--kv-cache-memory-bytes", str(3 * 1024 * 1024))),
        ({"drain_seconds": 9}, ("--shutdown-timeout", "9")),
    ],
)
def test_a_value_is_a_flag(changes: dict[str, object], flags: tuple[str, ...]) -> None:
    joined = "\0".join(launch("qwen3-8b-h100", **changes).flags) + "\0"
    assert "\0".join(flags) + "\0" in joined


@pytest.mark.parametrize("grammar", ["", "sections"])
def test_an_answer_in_a_grammar_has_no_whitespace(grammar: Literal["", "sections"]) -> None:
    profile = replace(load_profile("smollm2-135m-cpu"), grammar=grammar)
    assert profile.server is not None
    flags = launch_of(profile, profile.server, Path("x"), "python", "127.0.0.1", 8000, ()).flags
    settings = dict(itertools.pairwise(flags)).get("--structured-outputs-config", "{}")
    assert json.loads(settings).get("disable_any_whitespace", False) == bool(grammar)


def test_the_cores_of_a_cpu_are_told_by_a_variable() -> None:
    variable = "VLLM_CPU_NUM_OF_RESERVED_CPU"
    assert launch("smollm2-135m-cpu", num_reserved_cores=0).environment[variable] == "0"
    assert variable not in launch("qwen3-8b-h100").environment


@pytest.mark.parametrize("name", [name for name in profile_names() if name != "counting"])
def test_no_flag_is_said_twice(name: str) -> None:
    flags = [flag for flag in launch(name).flags if flag.startswith("--")]
    assert len(set(flags)) == len(flags)
