"""Checkpoints: whether a folder can be served as a profile says, told before minutes of starting (weights → serve)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from model_server.profiles import Profile

CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_DTYPES = ("bfloat16", "float16", "float32")


_Shape = TypeVar("_Shape")


class _Quantization(Struct):
    quant_method: str | None = None


class _Config(Struct):
    """What is looked at of config.json; null is as good as absent."""

    architectures: tuple[str, ...] | None = None
    dtype: str | None = None
    torch_dtype: str | None = None
    max_position_embeddings: int | None = None
    quantization_config: _Quantization | None = None


class _Index(Struct):
    weight_map: dict[str, str] = {}


class _TokenizerConfig(Struct):
    chat_template: Any = None


class _AdapterConfig(Struct):
    peft_type: str | None = None


class UnusableWeights(Exception):
    """Weights are missing or cannot be served as the profile says; the message says what to do."""


def check_checkpoint(folder: Path, profile: Profile) -> None:
    """Raises `UnusableWeights` unless ``folder`` holds a whole model that fits the profile. Weights themselves are not read."""
    if not folder.is_dir():
        raise UnusableWeights(f"{folder} is no folder: download the model there, or name another with --weights FOLDER")
    for name in (CONFIG, TOKENIZER, "tokenizer_config.json"):
        if not (folder / name).is_file():
            raise UnusableWeights(f"{folder} has no {name}: download the model again, with all its files")
    _check_config(folder, _read(folder / CONFIG, _Config), profile)
    for shard in _shards(folder):
        _check_whole(shard)
    told = _read(folder / "tokenizer_config.json", _TokenizerConfig)
    if told.chat_template is None and not (folder / "chat_template.jinja").is_file():
        raise UnusableWeights(f"{folder} has no chat template: take an instruction-tuned model, or add chat_template.jinja")


def check_adapter(adapter: Path) -> None:
    """Raises `UnusableWeights` unless ``adapter`` is a folder with a LoRA adapter."""
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        if not (adapter / name).is_file():
            raise UnusableWeights(f"the adapter {adapter} has no {name}: save it with peft's save_pretrained")
    kind = _read(adapter / "adapter_config.json", _AdapterConfig).peft_type
    if kind != "LORA":
        raise UnusableWeights(f"the adapter {adapter} is of type {kind}: only LORA can be merged")
    _check_whole(adapter / "adapter_model.safetensors")


def _check_config(folder: Path, config: _Config, profile: Profile) -> None:
    weights, server = profile.weights, profile.server
    if weights is None or server is None:
        return
    found = config.architectures or ()
    if weights.architecture not in found:
        raise UnusableWeights(
            f"{folder} is a {', '.join(found) or 'model of no known kind'}, and {profile.name} wants {weights.architecture}"
        )
    dtype = config.dtype or config.torch_dtype
    if dtype not in _DTYPES:
        raise UnusableWeights(f"{folder}: its weights are {dtype}, and {profile.name} wants one of {', '.join(_DTYPES)}")
    longest = config.max_position_embeddings
    if longest is not None and longest < profile.max_model_len:
        raise UnusableWeights(f"{folder}: the model can {longest} tokens, and max_model_len is {profile.max_model_len}")
    method = config.quantization_config.quant_method if config.quantization_config else None
    if method and weights.adapter:
        raise UnusableWeights(f"{folder} is quantised ({method}): an adapter is merged into unquantised weights only")
    if method and server.quantization not in ("", method):
        raise UnusableWeights(f"{folder} is quantised already ({method}): serve it with a profile whose quantization is empty")


def _shards(folder: Path) -> list[Path]:
    index = folder / INDEX
    if not index.is_file():
        return [folder / SINGLE]
    names = sorted(set(_read(index, _Index).weight_map.values()))
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
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise UnusableWeights(f"{shard} is no safetensors file: download it again") from None
    if shard.stat().st_size != end:
        raise UnusableWeights(f"{shard} has {shard.stat().st_size:,} bytes instead of {end:,}: download it again")


def _read(path: Path, shape: type[_Shape]) -> _Shape:
    try:
        # Python's own parser: what transformers writes may have NaN in it.
        return msgspec.convert(json.loads(path.read_bytes()), shape)
    except msgspec.ValidationError as misfit:
        raise UnusableWeights(f"{path} has another shape: {misfit}; download the model again") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UnusableWeights(f"{path} cannot be read: {error}") from None
