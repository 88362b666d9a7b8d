"""Conversion: a packaged or downloaded model becomes safetensors that vLLM serves; only here torch is imported (weights)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
from transformers.utils import logging

# Whose versions decide what is written.
PACKAGES = ("transformers", "gguf", "peft")


def convert(source: Path, adapter: Path | None, target: Path, tell: Callable[[str], None]) -> None:
    """Write into ``target`` the model and tokenizer of ``source`` (a GGUF file or a folder), in bfloat16, with ``adapter``."""
    # Our steps are told; its own bars would run through them.
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    tell(f"reading {source.name}")
    model, tokenizer = _load(source)
    if adapter is not None:
        tell(f"merging the adapter {adapter.name}")
        model = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload(safe_merge=True)
    tell("writing safetensors")
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


def _load(source: Path) -> tuple[Any, Any]:
    if source.is_dir():
        model = AutoModelForCausalLM.from_pretrained(str(source), dtype=torch.bfloat16)
        return model, AutoTokenizer.from_pretrained(str(source))
    folder, file = str(source.parent), source.name
    dequantised = GgufConfig(dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, quantization_config=dequantised, dtype=torch.bfloat16)
    return model, AutoTokenizer.from_pretrained(folder, gguf_file=file)
