"""Checkpoints: whether a folder can be served as a profile says, told before minutes of starting (weights → serve)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from model_server.profiles import Profile

CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_DTYPES = ("bfloat16", "float16", "float32")


class UnusableWeights(Exception):
    """Weights are missing or cannot be served as the profile says; the message says what to do."""


def check_checkpoint(folder: Path, profile: Profile) -> None:
    """Raises `UnusableWeights` unless ``folder`` holds a whole model that fits the profile. Weights themselves are not read."""
    if not folder.is_dir():
        raise UnusableWeights(f"{folder} is no folder: download the model there, or name another with --weights FOLDER")
    for name in (CONFIG, TOKENIZER, "tokenizer_config.json"):
        if not (folder / name).is_file():
            raise UnusableWeights(f"{folder} has no {name}: download the model again, with all its files")
    config = _read(folder / CONFIG)
    _check_config(folder, config, profile)
    for shard in _shards(folder):
        _check_whole(shard)
    has_template = (folder / "chat_template.jinja").is_file() or "chat_template" in _read(folder / "tokenizer_config.json")
    if not has_template:
        raise UnusableWeights(f"{folder} has no chat template: take an instruction-tuned model, or add chat_template.jinja")


def check_adapter(adapter: Path) -> None:
    """Raises `UnusableWeights` unless ``adapter`` is a folder with a LoRA adapter."""
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        if not (adapter / name).is_file():
            raise UnusableWeights(f"the adapter {adapter} has no {name}: save it with peft's save_pretrained")
    kind = _read(adapter / "adapter_config.json").get("peft_type")
    if kind != "LORA":
        raise UnusableWeights(f"the adapter {adapter} is of type {kind}: only LORA can be merged")
    _check_whole(adapter / "adapter_model.safetensors")


def _check_config(folder: Path, config: dict[str, Any], profile: Profile) -> None:
    weights, server = profile.weights, profile.server
    if weights is None or server is None:
        return
    found = config.get("architectures") or []
    if weights.architecture not in found:
        raise UnusableWeights(
            f"{folder} is a {', '.join(found) or 'model of no known kind'}, and {profile.name} wants {weights.architecture}"
        )
    dtype = config.get("dtype") or config.get("torch_dtype")
    if dtype not in _DTYPES:
        raise UnusableWeights(f"{folder}: its weights are {dtype}, and {profile.name} wants one of {', '.join(_DTYPES)}")
    longest = config.get("max_position_embeddings", profile.max_model_len)
    if longest < profile.max_model_len:
        raise UnusableWeights(f"{folder}: the model can {longest} tokens, and max_model_len is {profile.max_model_len}")
    method = (config.get("quantization_config") or {}).get("quant_method")
    if method and weights.adapter:
        raise UnusableWeights(f"{folder} is quantised ({method}): an adapter is merged into unquantised weights only")
    if method and server.quantization not in ("", method):
        raise UnusableWeights(f"{folder} is quantised already ({method}): serve it with a profile whose quantization is empty")


def _shards(folder: Path) -> list[Path]:
    index = folder / INDEX
    if not index.is_file():
        return [folder / SINGLE]
    names = sorted(set(_read(index).get("weight_map", {}).values()))
    if not names:
        raise UnusableWeights(f"{index} names no file: download the model again")
    return [folder / name for name in names]


def _check_whole(shard: Path) -> None:
    """A safetensors file says in its header how long it is; a download that broke off is shorter."""
    try:
        with shard.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, 100_000_000)))
        end = 8 + length + max(entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__")
    except FileNotFoundError:
        raise UnusableWeights(f"{shard} is missing: download the model again, with all its files") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UnusableWeights(f"{shard} is no safetensors file: download it again") from None
    if shard.stat().st_size != end:
        raise UnusableWeights(f"{shard} has {shard.stat().st_size:,} bytes instead of {end:,}: download it again")


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UnusableWeights(f"{path} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise UnusableWeights(f"{path} is no JSON object: download the model again")
    return content
