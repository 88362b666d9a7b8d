"""SFT: fine-tunes an adapter on examples, by TRL and peft (examples → **SFT** → adapter → the weights of a profile).

Runs in the engine's environment. A run is a folder: its settings, a log of its steps, checkpoints every few minutes and, when
it is complete, the adapter. Killed at any moment, the same command goes on from the last checkpoint.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from msgspec import to_builtins
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

from model_server.profiles import load_profile
from model_server.weights import prepare
from training.examples import Example, InvalidExamples, read_examples
from training.journal import Journal
from training.runs import ADAPTER, LOG, AnotherRun, Run, Settings, last_checkpoint, prepare_run

BASE = "smollm2-135m-cpu"
_EXAMPLES = """\
examples:
  .venv-engine/bin/python -m training.sft build/training/examples.jsonl --run build/training/first
  .venv-engine/bin/python -m training.sft examples.jsonl --run build/training/small --most 64 --checkpoint-minutes 1
"""


def train(run: Run, folder: Path, examples: Path, weights: Path, checkpoint_minutes: float) -> Path:
    """The folder of the trained adapter. Does nothing where it is there already."""
    adapter = folder / ADAPTER
    if not adapter.exists():
        trainer = _trainer(run, folder, list(read_examples(examples))[: run.num_examples], weights, checkpoint_minutes)
        checkpoint = last_checkpoint(folder)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        part = folder / f"{ADAPTER}.part"
        trainer.model.save_pretrained(part)
        part.rename(adapter)
    return adapter


class CompletionTrainer(SFTTrainer):
    """Computes the vocabulary's logits where the answer stands, a fifth of the positions, and nowhere else.

    On a CPU, TRL 1.16 scores every position of a batch: a fifth of all the work, and most of the memory.
    """

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The mean negative log-likelihood of the answers' tokens."""
        causal = self.accelerator.unwrap_model(model).get_base_model()
        hidden = causal.model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).last_hidden_state
        labels = inputs["labels"][:, 1:]
        is_answer = labels != -100
        logits = causal.lm_head(hidden[:, :-1][is_answer]).float()
        total = torch.nn.functional.cross_entropy(logits, labels[is_answer], reduction="sum")
        loss = total / (is_answer.sum() if num_items_in_batch is None else num_items_in_batch)
        return (loss, None) if return_outputs else loss


def _trainer(run: Run, folder: Path, examples: Sequence[Example], weights: Path, checkpoint_minutes: float) -> Any:
    settings = run.settings
    lora = LoraConfig(r=settings.rank, lora_alpha=settings.alpha, target_modules="all-linear", task_type="CAUSAL_LM")
    return CompletionTrainer(
        model=AutoModelForCausalLM.from_pretrained(weights, dtype=torch.bfloat16),
        args=_arguments(settings, folder),
        train_dataset=Dataset.from_list([_row(example) for example in examples]),
        processing_class=AutoTokenizer.from_pretrained(weights),
        peft_config=lora,
        callbacks=[Journal(folder / LOG, checkpoint_minutes)],
    )


def _arguments(settings: Settings, folder: Path) -> Any:
    return SFTConfig(
        output_dir=str(folder),
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr_rate": 0.1},
        warmup_steps=settings.warmup_steps,
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.micro_batch,
        gradient_accumulation_steps=settings.batch // settings.micro_batch,
        max_length=settings.max_length,
        completion_only_loss=True,
        # Half as much again in time, for memory that examples of a thousand tokens do not need.
        gradient_checkpointing=False,
        # Padding is computed too.
        train_sampling_strategy="group_by_length",
        use_cpu=not torch.cuda.is_available(),
        # The weights are bfloat16 already, the adapter is not.
        bf16=False,
        seed=settings.seed,
        logging_steps=1,
        save_strategy="no",
        save_total_limit=2,
        report_to=[],
        disable_tqdm=True,
    )


def _row(example: Example) -> dict[str, object]:
    return {"prompt": to_builtins(example.turns), "completion": [{"role": "assistant", "content": example.completion}]}


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains, or goes on; prints where the adapter lies."""
    parser = argparse.ArgumentParser(
        prog="python -m training.sft",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("examples", type=Path, help="JSON lines, an example each (python -m training.teaching writes some)")
    parser.add_argument("--run", type=Path, required=True, help="the folder of the run; it goes on where it is there")
    parser.add_argument("--most", type=int, default=0, help="the most examples to read (all of them)")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--learning-rate", type=float, default=Settings().learning_rate)
    parser.add_argument("--checkpoint-minutes", type=float, default=5.0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads to compute with")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    settings = Settings(most=options.most, epochs=options.epochs, learning_rate=options.learning_rate)
    try:
        run = prepare_run(options.run, options.examples, settings)
        adapter = train(run, options.run, options.examples, prepare(load_profile(BASE)), options.checkpoint_minutes)
    except (AnotherRun, InvalidExamples, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"stopped; the same command goes on from the last checkpoint in {options.run}", file=sys.stderr)
        return 130
    print(adapter)
    return 0


if __name__ == "__main__":
    sys.exit(main())
