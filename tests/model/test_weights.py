"""Weights in earnest: the packaged model converted from nothing, and an adapter merged, as vLLM's environment does it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from model_server.profiles import FOLDER
from tests.kafka.worker_process import REPOSITORY
from tests.model.vllm_process import PROFILE, PYTHON

# Nothing may be asked of anybody: an address that nobody has.
OFFLINE = {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0"}


def prepare(cache: Path, profile: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(PYTHON), "-m", "model_server.weights", "prepare", profile],
        cwd=REPOSITORY,
        env=os.environ | OFFLINE | {"PREFSTREAM_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_at_once_convert_the_packaged_model_once(tmp_path: Path) -> None:
    both = [prepare(tmp_path, PROFILE) for _ in range(2)]
    told = [one.communicate() for one in both]
    assert [one.returncode for one in both] == [0, 0], told
    folders = {out.strip() for out, _ in told}
    assert len(folders) == 1
    assert sum("writing safetensors" in err for _, err in told) == 1
    folder = Path(folders.pop())
    config = json.loads((folder / "config.json").read_text())
    assert (config["architectures"], config["dtype"]) == (["LlamaForCausalLM"], "bfloat16")
    assert 250_000_000 < (folder / "model.safetensors").stat().st_size < 300_000_000
    assert "<|im_start|>" in (folder / "chat_template.jinja").read_text()


_MAKE_ADAPTER = """
import sys, torch
from pathlib import Path
from peft import LoraConfig, get_peft_model
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM
prepared, model_folder, adapter_folder = sys.argv[1:]
torch.manual_seed(0)
shape = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2)
model = LlamaForCausalLM(LlamaConfig(vocab_size=49152, max_position_embeddings=8192, **shape)).to(torch.bfloat16)
model.save_pretrained(model_folder)
AutoTokenizer.from_pretrained(prepared).save_pretrained(model_folder)
tuned = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
tuned.save_pretrained(adapter_folder)
"""
_COMPARE = """
import sys, torch
from peft import PeftModel
from transformers import LlamaForCausalLM
model_folder, adapter_folder, merged_folder = sys.argv[1:]
base = LlamaForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
merged = LlamaForCausalLM.from_pretrained(merged_folder, dtype=torch.float32)
ids = torch.arange(100, 132)[None]
with torch.no_grad():
    plain = base(ids).logits
    tuned = PeftModel.from_pretrained(base, adapter_folder)(ids).logits
    print((merged(ids).logits - tuned).abs().max().item(), (plain - tuned).abs().max().item())
"""


def in_the_engines_python(script: str, *arguments: Path) -> str:
    return subprocess.run([str(PYTHON), "-c", script, *map(str, arguments)], capture_output=True, text=True, check=True).stdout


def test_an_adapter_is_merged_into_the_weights(tmp_path: Path) -> None:
    packaged = prepare(Path(os.environ.get("PREFSTREAM_CACHE") or REPOSITORY / ".cache"), PROFILE)
    tokenizer = Path(packaged.communicate()[0].strip())
    model, adapter = tmp_path / "model", tmp_path / "adapter"
    in_the_engines_python(_MAKE_ADAPTER, tokenizer, model, adapter)
    text = (FOLDER / f"{PROFILE}.toml").read_text()
    start, end = text.index("package ="), text.index("[server]")
    (tmp_path / "mine.toml").write_text(f'{text[:start]}path = "model"\nadapter = "adapter"\n{text[end:]}')

    merging = prepare(tmp_path / "cache", str(tmp_path / "mine.toml"))
    out, err = merging.communicate()
    assert merging.returncode == 0, err
    merged = Path(out.strip())
    assert merged.parent == tmp_path / "cache" / "weights"
    off, moved = map(float, in_the_engines_python(_COMPARE, model, adapter, merged).split())
    # The merged weights are rounded to 16 bits; what the adapter does is much larger.
    assert off < moved / 10
