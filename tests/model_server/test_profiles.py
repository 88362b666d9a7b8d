"""Profiles: ours are sound, and whatever cannot work is refused with the key at fault and what to write instead."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model_server import client
from model_server.profiles import (
    CLIENT_KEEP_ALIVE_SECONDS,
    DEFAULT,
    FOLDER,
    LEAST_ROOM_TOKENS,
    InvalidProfile,
    load_profile,
    parse_profile,
    profile_names,
    profile_of,
)

Table = dict[str, Any]
NAMES = (
    "alignxplore-plus-8b-h100",
    "alignxplore-plus-8b-h200",
    "counting",
    "prefstream-135m-cpu",
    "qwen3-8b-h100",
    "qwen3-8b-h200",
    "smollm2-135m-cpu",
    "smollm2-135m-gpu",
)


def table(name: str = "smollm2-135m-cpu") -> Table:
    """The table of one of our profiles, to be spoilt."""
    return tomllib.loads((FOLDER / f"{name}.toml").read_text())


def refusal(spoilt: Table) -> InvalidProfile:
    with pytest.raises(InvalidProfile) as caught:
        profile_of(spoilt, "mine", "mine.toml")
    return caught.value


def test_the_profiles_that_come_with_prefstream() -> None:
    assert profile_names() == NAMES
    assert DEFAULT in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_of_ours_is_sound(name: str) -> None:
    profile = load_profile(name)
    assert (profile.name, profile.engine) == (name, "counting" if name == "counting" else "vllm")
    dialects = {"alignxplore": "alignxplore", "prefstream": "brief"}
    assert profile.dialect == dialects.get(name.partition("-")[0], "plain")


@pytest.mark.parametrize("name", NAMES)
def test_each_group_of_values_of_ours_says_why(name: str) -> None:
    lines = (FOLDER / f"{name}.toml").read_text().splitlines()
    assert sum(line.startswith("#") for line in lines) >= len([line for line in lines if line.startswith("[")])


def test_a_file_of_yours_is_a_profile_and_its_paths_are_beside_it(tmp_path: Path) -> None:
    text = (FOLDER / "smollm2-135m-gpu.toml").read_text()
    start, end = text.index("package ="), text.index("[server]")
    file = tmp_path / "mine-on-my-machine.toml"
    file.write_text(f'{text[:start]}path = "mine"\nadapter = "../taste"\n{text[end:]}')
    profile = load_profile(str(file))
    assert profile.name == "mine-on-my-machine"
    assert profile.weights is not None
    assert Path(profile.weights.path) == tmp_path / "mine"
    assert Path(profile.weights.adapter) == tmp_path / ".." / "taste"


def test_a_name_that_is_none_is_refused_with_the_nearest() -> None:
    with pytest.raises(
        InvalidProfile, match=r"smollm2-cpu: no profile has this name; write smollm2-135m-cpu or smollm2-135m-gpu"
    ):
        load_profile("smollm2-cpu")
    with pytest.raises(InvalidProfile, match=r"write one of alignxplore-plus-8b-h100, .*counting"):
        load_profile("???")


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidProfile, match=r"nowhere\.toml: cannot be read \(no such file or directory\)"):
        load_profile(str(tmp_path / "nowhere.toml"))
    with pytest.raises(InvalidProfile, match="cannot be read"):
        load_profile(str(tmp_path) + "/")


def test_what_is_no_toml_is_refused() -> None:
    with pytest.raises(InvalidProfile, match=r"mine\.toml: not TOML: Invalid value .*see docs"):
        parse_profile("caption = ", "mine", "mine.toml")


def put(path: str, value: object) -> Callable[[Table], None]:
    """Write ``value`` at the dotted ``path``; None takes the key away."""

    def spoil(of: Table) -> None:
        *folders, key = path.split(".")
        for name in folders:
            of = of.setdefault(name, {})
        if value is None:
            del of[key]
        else:
            of[key] = value

    return spoil


CPU, GPU, THINKING, COUNTING = "smollm2-135m-cpu", "qwen3-8b-h100", "alignxplore-plus-8b-h100", "counting"
CASES = [
    # one value that cannot be: base, path, value, key at fault, problem, fix
    (CPU, "server.max_num_seq", 3, "server.max_num_seq", "no key has this name", "write max_num_seqs"),
    (CPU, "temperatur", 1, "temperatur", "no key has this name", "write one of caption, engine"),
    (CPU, "weights.adaptor", "x", "weights.adaptor", "no key", "write adapter"),
    (CPU, "name", "mine", "name", "named by its file", "remove"),
    (CPU, "dialect", "plane", "dialect", "invalid enum value 'plane'", "'plain', 'brief'"),
    (CPU, "engine", "llama", "engine", "invalid enum value", "'vllm', 'counting'"),
    (CPU, "server.scheduling_policy", "lifo", "server.scheduling_policy", "invalid enum value 'lifo'", "'fcfs', 'priority'"),
    (CPU, "server.max_num_seqs", 0, "server.max_num_seqs", "`int` >= 1", "docs/models.md"),
    (CPU, "server.max_num_seqs", "many", "server.max_num_seqs", "expected `int`", "docs/models.md"),
    (CPU, "server.drain_seconds", 0, "server.drain_seconds", "`int` >= 1", "docs/models.md"),
    (CPU, "server.num_reserved_cores", -1, "server.num_reserved_cores", ">= 0", "docs/models.md"),
    (CPU, "server", 3, "server", "expected `object", "docs/models.md"),
    (CPU, "sampling.temperature", -1.0, "sampling.temperature", ">= 0", "docs/models.md"),
    (CPU, "served_name", None, "served_name", "missing", "add it"),
    (CPU, "timeout_seconds", None, "timeout_seconds", "missing", "add it"),
    (CPU, "timeout_seconds", 0.9, "timeout_seconds", ">= 1", "docs/models.md"),
    (CPU, "server.kv_cache_mib", 10**15, "server.kv_cache_mib", "<= 2147483647", "docs/models.md"),
    (CPU, "server.max_num_batched_tokens", 10**30, "server.max_num_batched_tokens", "int", "docs/models.md"),
    (CPU, "server.num_reserved_cores", 10_000, "server.num_reserved_cores", "<= 1023", "docs/models.md"),
    (CPU, "served_name", "--port", "served_name", "matching", "docs/models.md"),
    (CPU, "served_name", " ", "served_name", "matching", "docs/models.md"),
    (CPU, "served_name", "a\nb", "served_name", "matching", "docs/models.md"),
    (CPU, "served_name", "a\n", "served_name", "matching", "docs/models.md"),
    (CPU, "weights.package", "==1", "weights.package", "matching", "docs/models.md"),
    (CPU, "weights.package", "a b", "weights.package", "matching", "docs/models.md"),
    (CPU, "weights.file", "/etc/passwd", "weights.file", "not in the package", "within the package"),
    (CPU, "weights.file", "a/../../b", "weights.file", "not in the package", "within the package"),
    (CPU, "chat_template_kwargs.tokenize", False, "chat_template_kwargs.tokenize", "refuses every call", "remove"),
    (CPU, "chat_template_kwargs.chat_template", "x", "chat_template_kwargs.chat_template", "refuses every call", "remove"),
    (CPU, "sampling.temperature", None, "sampling.temperature", "missing", "add it"),
    (CPU, "chat_template_kwargs.enable_thinking", 0.5, "chat_template_kwargs", "expected", "docs/models.md"),
    # two values that cannot go together
    (CPU, "weights", None, "weights", "missing", "add a table [weights]"),
    (CPU, "server", None, "server", "missing", "add a table [server]"),
    (CPU, "weights.path", "mine", "weights.path", "a package too", "keep one"),
    (CPU, "weights.sha256", None, "weights.package", "belong together", "write all three"),
    (CPU, "weights.package", None, "weights.package", "belong together", "write all three"),
    (CPU, "server.max_num_batched_tokens", 4_095, "server.max_num_batched_tokens", "one step", "max_model_len (4096)"),
    (CPU, "server.chunked_prefill", True, "server.chunked_prefill", "ends vLLM", "write false"),
    (CPU, "server.max_num_seqs", 5_000, "server.max_num_seqs", "5000 calls do not fit", "at most max_num_batched_tokens"),
    (CPU, "server.max_num_queued_requests", 31, "server.max_num_queued_requests", "32 would never run", "at least 32"),
    (CPU, "server.keep_alive_seconds", 4, "server.keep_alive_seconds", "closed one", "at least 30"),
    (CPU, "max_model_len", 1_279, "max_model_len", "no room for a prompt", "at least 1280"),
    (CPU, "server.quantization", "fp8", "server.quantization", "needs a GPU", "remove"),
    (CPU, "server.kv_cache_dtype", "fp8", "server.kv_cache_dtype", "needs a GPU", '"auto"'),
    (CPU, "server.gpu_memory_utilization", 0.9, "server.gpu_memory_utilization", "a CPU", "kv_cache_mib"),
    (CPU, "server.kv_cache_mib", None, "server.kv_cache_mib", "missing", "how much memory"),
    (CPU, "thinking_tokens", 100, "thinking_tokens", "where a thought ends", "qwen3"),
    (CPU, "server.reasoning_parser", "qwen3", "server.reasoning_parser", "taken for one", "thinking_tokens"),
    (GPU, "server.gpu_memory_utilization", None, "server.gpu_memory_utilization", "missing", "0.92"),
    (GPU, "server.kv_cache_mib", 100, "server.kv_cache_mib", "for a CPU", "remove"),
    (GPU, "server.num_reserved_cores", 0, "server.num_reserved_cores", "for a CPU", "remove"),
    (GPU, "server.dtype", "float32", "server.dtype", "16 bits", "bfloat16"),
    (GPU, "weights.adapter", "mine", "server.quantization", "an adapter is merged", "leave it out"),
    (THINKING, "max_model_len", 2_303, "max_model_len", "a thought of 1024 tokens", "at least 2304"),
    (THINKING, "chat_template_kwargs.enable_thinking", False, "chat_template_kwargs.enable_thinking", "a thought", "= 0"),
    (THINKING, "grammar", "sections", "grammar", "free text", 'dialect = "plain"'),
    (THINKING, "server.reasoning_parser", None, "thinking_tokens", "where a thought ends", "qwen3"),
    (COUNTING, "dialect", "alignxplore", "dialect", "only the plain dialect", '"plain"'),
    (COUNTING, "grammar", "sections", "grammar", "knows nothing", "remove"),
    (COUNTING, "thinking_tokens", 10, "thinking_tokens", "knows nothing", "remove"),
    (COUNTING, "weights", {"model": "x", "architecture": "y"}, "weights", "has none", "remove"),
]


@pytest.mark.parametrize(("base", "path", "value", "key", "problem", "fix"), CASES, ids=[f"{c[1]}={c[2]}" for c in CASES])
def test_what_cannot_work_is_refused(base: str, path: str, value: object, key: str, problem: str, fix: str) -> None:
    spoilt = table(base)
    put(path, value)(spoilt)
    refused = refusal(spoilt)
    assert refused.key == key
    assert problem in refused.problem
    assert fix in refused.fix
    assert str(refused) == f"mine.toml: {key}: {refused.problem}; {refused.fix}"


@pytest.mark.parametrize(
    ("base", "path", "value"),
    [
        (CPU, "max_model_len", LEAST_ROOM_TOKENS),
        (CPU, "server.max_num_seqs", 64),
        (CPU, "server.num_reserved_cores", 1),
        (CPU, "grammar", "sections"),
        (CPU, "served_name", "Qwen/Qwen3-8B"),
        (CPU, "weights.adapter", "mine"),
        (GPU, "weights.path", "mine"),
    ],
)
def test_what_can_work_is_not(base: str, path: str, value: object) -> None:
    sound = table(base)
    put(path, value)(sound)
    assert profile_of(sound, "mine", "mine.toml").name == "mine"


def test_the_client_lets_a_connection_go_before_any_server_does() -> None:
    assert CLIENT_KEEP_ALIVE_SECONDS >= client.KEEP_ALIVE_SECONDS
