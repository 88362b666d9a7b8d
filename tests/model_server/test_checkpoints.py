"""A folder that cannot be served is refused before an engine is started, with what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from model_server.checkpoints import UnusableWeights, check_adapter, check_checkpoint
from model_server.profiles import Profile, Server, load_profile
from tests.model_server.checkpoint import safetensors, write_adapter, write_checkpoint

PROFILE = load_profile("smollm2-135m-cpu")


def test_a_whole_model_is_taken(tmp_path: Path) -> None:
    check_checkpoint(write_checkpoint(tmp_path), PROFILE)
    (tmp_path / "model.safetensors.index.json").unlink()
    (tmp_path / "model.safetensors").write_bytes(safetensors())
    write_checkpoint(tmp_path, max_position_embeddings=None, time_step_limit=[0.0, float("inf")])
    (tmp_path / "model.safetensors.index.json").unlink()
    (tmp_path / "tokenizer_config.json").write_text("{}")
    (tmp_path / "chat_template.jinja").write_text("...")
    check_checkpoint(tmp_path, PROFILE)


def without(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def holding(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


SHARD = "model-00002-of-00002.safetensors"


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (without("config.json"), "has no config.json: download"),
        (without("tokenizer.json"), "has no tokenizer.json: download"),
        (without("tokenizer_config.json"), "has no tokenizer_config.json: download"),
        (without(SHARD), f"{SHARD} is missing: download"),
        (without("model.safetensors.index.json"), "model.safetensors is missing"),
        (holding("model.safetensors.index.json", b"{}"), "names no file"),
        (holding("config.json", b"["), "config.json cannot be read"),
        (holding("config.json", b"[]"), "config.json has another shape: Expected `object`"),
        (holding("config.json", b"[" * 100_000), "config.json cannot be read"),
        (holding("model.safetensors.index.json", b'{"weight_map": []}'), r"index.json has another shape: .*weight_map"),
        (holding("model.safetensors.index.json", b'{"weight_map": {"a": 5}}'), r"index.json has another shape: .*weight_map"),
        (holding("tokenizer_config.json", b'{"chat_template": null}'), "no chat template"),
        (holding(SHARD, (9 * 10**4).to_bytes(8, "little") + b"[" * 9 * 10**4), "no safetensors file"),
        (holding(SHARD, (27).to_bytes(8, "little") + b'{"a": {"data_offsets": []}}'), "no safetensors file"),
        (holding(SHARD, safetensors()[:-1]), "bytes instead of"),
        (holding(SHARD, b""), "no safetensors file"),
        (holding(SHARD, b"<!DOCTYPE html><html>"), "no safetensors file"),
        (holding(SHARD, (2).to_bytes(8, "little") + b"[]"), "no safetensors file"),
        (holding("tokenizer_config.json", b"{}"), "no chat template"),
    ],
)
def test_what_is_not_whole_is_refused(tmp_path: Path, spoil: Callable[[Path], object], says: str) -> None:
    spoil(write_checkpoint(tmp_path))
    with pytest.raises(UnusableWeights, match=says):
        check_checkpoint(tmp_path, PROFILE)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableWeights, match=r"is no folder: .* --weights FOLDER"):
        check_checkpoint(tmp_path / "nowhere", PROFILE)


def quantised(server: Server | None) -> Profile:
    assert server is not None
    return replace(PROFILE, server=replace(server, quantization="fp8"))


@pytest.mark.parametrize(
    ("config", "profile", "says"),
    [
        (
            {"architectures": ["Qwen3ForCausalLM"]},
            PROFILE,
            "is a Qwen3ForCausalLM, and smollm2-135m-cpu wants LlamaForCausalLM",
        ),
        ({"architectures": None}, PROFILE, "is a model of no known kind"),
        ({"architectures": 5}, PROFILE, "another shape: .*architectures"),
        ({"max_position_embeddings": "8192"}, PROFILE, "another shape: .*max_position_embeddings"),
        ({"quantization_config": "x"}, PROFILE, "another shape: .*quantization_config"),
        ({"dtype": "int8"}, PROFILE, "its weights are int8"),
        ({"max_position_embeddings": 2_048}, PROFILE, "can 2048 tokens, and max_model_len is 4096"),
        ({"quantization_config": {"quant_method": "awq"}}, quantised(PROFILE.server), "quantised already"),
    ],
)
def test_what_does_not_fit_the_profile_is_refused(
    tmp_path: Path, config: dict[str, object], profile: Profile, says: str
) -> None:
    write_checkpoint(tmp_path, **config)
    with pytest.raises(UnusableWeights, match=says):
        check_checkpoint(tmp_path, profile)


def test_an_adapter_is_not_merged_into_quantised_weights(tmp_path: Path) -> None:
    assert PROFILE.weights is not None
    merging = replace(PROFILE, weights=replace(PROFILE.weights, adapter="mine"))
    write_checkpoint(tmp_path, quantization_config={"quant_method": "fp8"})
    with pytest.raises(UnusableWeights, match=r"quantised \(fp8\): an adapter"):
        check_checkpoint(tmp_path, merging)


def test_an_adapter_is_whole_and_of_the_kind_that_can_be_merged(tmp_path: Path) -> None:
    check_adapter(write_adapter(tmp_path / "lora"))
    with pytest.raises(UnusableWeights, match="only LORA"):
        check_adapter(write_adapter(tmp_path / "ia3", "IA3"))
    (tmp_path / "lora" / "adapter_model.safetensors").unlink()
    with pytest.raises(UnusableWeights, match=r"has no adapter_model\.safetensors"):
        check_adapter(tmp_path / "lora")


def test_the_old_name_of_the_dtype_counts(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["torch_dtype"] = config.pop("dtype")
    (tmp_path / "config.json").write_text(json.dumps(config))
    check_checkpoint(tmp_path, PROFILE)
