"""A model's folder in miniature, with everything that is looked at before a model is served."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CONFIG: dict[str, Any] = {"architectures": ["LlamaForCausalLM"], "dtype": "bfloat16", "max_position_embeddings": 8_192}


def safetensors(num_bytes: int = 64) -> bytes:
    """A file of one tensor."""
    header = json.dumps(
        {"__metadata__": {}, "w": {"dtype": "U8", "shape": [num_bytes], "data_offsets": [0, num_bytes]}}
    ).encode()
    return len(header).to_bytes(8, "little") + header + bytes(num_bytes)


def write_checkpoint(folder: Path, **config: object) -> Path:
    """A whole model of two shards in ``folder``; ``config`` goes over its config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG | config))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": "..."}))
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": names[0], "b": names[1], "c": names[1]}})
    )
    for name in names:
        (folder / name).write_bytes(safetensors())
    return folder


def write_adapter(folder: Path, kind: str = "LORA") -> Path:
    """An adapter in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": kind}))
    (folder / "adapter_model.safetensors").write_bytes(safetensors())
    return folder
