"""Shipping: a trained adapter as a profile serves it, small and without a trace of its machine (SFT, GRPO → **profile**)."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from evaluation.people import LEARNT_FROM

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"


def ship(adapter: Path, base: str, learnt_from: Collection[str], target: Path) -> int:
    """Writes the adapter in bfloat16, of the model called ``base``, and returns the bytes of its weights.

    Beside it stands of whom it ``learnt_from``, so that no evaluation asks them.
    """
    target.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in load_file(adapter / WEIGHTS).items()}
    save_file(tensors, target / WEIGHTS, metadata={"format": "pt"})
    config = json.loads((adapter / CONFIG).read_text())
    # peft writes the folder of this machine.
    config["base_model_name_or_path"] = base
    config["target_modules"] = sorted(config["target_modules"])
    (target / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    (target / LEARNT_FROM).write_text(json.dumps(sorted(learnt_from, key=lambda user: (len(user), user))) + "\n")
    return (target / WEIGHTS).stat().st_size
