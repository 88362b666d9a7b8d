"""Embedding: texts in, vectors out, in the engine's environment and a process of its own (minilm → **embedding** → minilm).

Run by its path: it imports nothing of ours. Standard input is a JSON list of texts; standard output their vectors, in order, as
float32 in rows, written batch by batch. The argument is the folder of the weights.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import AutoModel

MAX_TOKENS = 256
BATCH = 32


def main(folder: Path) -> None:
    """Mean pooling over the tokens that are text, then length 1, as the model was trained."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.enable_padding()
    model = AutoModel.from_pretrained(folder, local_files_only=True).eval()
    texts = json.load(sys.stdin)
    for start in range(0, len(texts), BATCH):
        encoded = tokenizer.encode_batch(texts[start : start + BATCH])
        mask = torch.tensor([one.attention_mask for one in encoded])
        with torch.inference_mode():
            states = model(torch.tensor([one.ids for one in encoded]), mask).last_hidden_state
        means = (states * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
        vectors = torch.nn.functional.normalize(means, dim=1).to(torch.float32).numpy()
        sys.stdout.buffer.write(vectors.tobytes())
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
