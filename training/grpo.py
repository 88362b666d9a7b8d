"""S4, GRPO: the adapter learns from its own samples, over updates that follow one another (SFT adapter → **S4** → adapter).

TRL's trainer does the gradient, the KL to the adapter it began with, the checkpoints and the generation, in this process, over
several GPUs or on vLLM. What is ours is the order in which prompts come to be: its ``rollout_func`` is given the numbers of
episodes and answers with groups whose prompts hold texts that the model has just written (:mod:`training.rollouts`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import torch
from accelerate import PartialState
from datasets import Dataset
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

from streams.evolution.dialects import Dialect
from streams.evolution.records import Prompt
from training.course import GrpoSettings
from training.journal import Journal
from training.policy import read_ids, tokenize
from training.reward_log import RewardLog, step_of
from training.rollouts import Episode, Judge, Sampled, Streaming
from training.runs import ADAPTER, LOG, last_checkpoint

REWARDS = "rewards.jsonl"


def train(
    folder: Path,
    settings: GrpoSettings,
    episodes: Sequence[Episode],
    dialect: Dialect,
    judge: Judge,
    weights: Path,
    adapter: Path | None,
    checkpoint_minutes: float,
) -> Path:
    """The folder of the trained model. Goes on from the last checkpoint; does nothing where it is there already."""
    done: Path = folder / ADAPTER
    if done.exists():
        return done
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = last_checkpoint(folder)
    log = RewardLog(folder / REWARDS, int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0)
    rollout = _rollout(settings, episodes, dialect, judge, log)
    trainer = _trainer(folder, settings, rollout, weights, adapter, len(episodes), checkpoint_minutes)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    part = folder / f"{ADAPTER}.part"
    trainer.save_model(str(part))
    part.rename(done)
    return done


def _trainer(
    folder: Path,
    settings: GrpoSettings,
    rollout: Callable[[list[Any], Any], dict[str, Any]],
    weights: Path,
    adapter: Path | None,
    num_episodes: int,
    checkpoint_minutes: float,
) -> Any:
    numbers = _in_order(num_episodes, settings)
    rows = [{"prompt": [{"role": "user", "content": str(number)}]} for number in numbers]
    return GRPOTrainer(
        model=_model(settings, weights, adapter),
        reward_funcs=[told],
        args=arguments_of(settings, folder, PartialState().num_processes, not torch.cuda.is_available()),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(weights, padding_side="left"),
        callbacks=[Journal(folder / LOG, checkpoint_minutes)],
        rollout_func=rollout,
    )


def _in_order(num_episodes: int, settings: GrpoSettings) -> list[int]:
    """The episode of each group, shuffled and begun again as often as the steps need; an episode's groups stay together."""
    order = list(range(num_episodes))
    Random(settings.seed).shuffle(order)
    needed = settings.steps * settings.episodes_per_step
    return [order[place % num_episodes] for place in range(needed) for _ in range(settings.groups_per_episode)]


def _model(settings: GrpoSettings, weights: Path, adapter: Path | None) -> Any:
    model = AutoModelForCausalLM.from_pretrained(weights, dtype=torch.bfloat16)
    if settings.full:
        return PeftModel.from_pretrained(model, adapter).merge_and_unload() if adapter else model
    if adapter is not None:
        return PeftModel.from_pretrained(model, adapter, is_trainable=True)
    rank = settings.rank
    return get_peft_model(model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM"))


def arguments_of(settings: GrpoSettings, folder: Path, num_processes: int, use_cpu: bool) -> Any:
    """The settings as TRL has them. Raises ValueError where TRL refuses them."""
    return GRPOConfig(
        output_dir=str(folder),
        max_steps=settings.steps,
        num_generations=settings.plan.num_samples,
        per_device_train_batch_size=settings.micro_batch,
        # A step learns from what it has sampled, once: no sample is ever older than the weights.
        gradient_accumulation_steps=settings.samples_per_step // settings.micro_batch // num_processes,
        max_completion_length=settings.max_completion,
        shuffle_dataset=False,
        temperature=settings.temperature,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="constant",
        beta=settings.beta,
        use_vllm=bool(settings.vllm),
        vllm_mode=settings.vllm or "colocate",
        use_cpu=use_cpu,
        # The weights are bfloat16 already, the adapter is not.
        bf16=False,
        gradient_checkpointing=not use_cpu,
        seed=settings.seed,
        logging_steps=1,
        save_strategy="no",
        save_total_limit=2,
        report_to=[],
        disable_tqdm=True,
    )


def told(prompts: Sequence[Any], completions: Sequence[Any], returns: Sequence[float], **_: Any) -> list[float]:
    """The returns that the rollout has worked out: TRL asks for rewards after it, and there is nothing left to say."""
    return list(returns)


def _rollout(
    settings: GrpoSettings, episodes: Sequence[Episode], dialect: Dialect, judge: Judge, log: RewardLog
) -> Callable[[list[Any], Any], dict[str, Any]]:
    """What TRL calls for the samples of a step: it is given the number of an episode for each, and gives prompts too."""

    def roll(prompts: list[Any], trainer: Any) -> dict[str, Any]:
        begun = time.monotonic()
        per_episode = settings.plan.num_samples * settings.groups_per_episode
        numbers = [int(prompt[-1]["content"]) for prompt in prompts[::per_episode]]
        streaming = Streaming(settings.plan, dialect, _sample_with(trainer), judge, log.measured)
        random = Random(f"{settings.seed} {trainer.state.global_step} {trainer.accelerator.process_index}")
        groups = streaming.roll([episodes[number] for number in numbers], random)
        if trainer.accelerator.is_main_process:
            log.write(step_of(trainer.state.global_step, time.monotonic() - begun, groups, log.measured))
        flat = [one for group in groups for one in group]
        return {
            "prompt_ids": [list(one.draft.sampled.prompt_ids) for one in flat],
            "completion_ids": [list(one.draft.sampled.completion_ids) for one in flat],
            "logprobs": None,
            "returns": [one.told for one in flat],
        }

    return roll


def _sample_with(trainer: Any) -> Callable[[Sequence[Prompt]], list[Sampled]]:
    def sample(prompts: Sequence[Prompt]) -> list[Sampled]:
        asked = [tokenize(trainer.processing_class, prompt.turns) for prompt in prompts]
        # TRL's own generation, the only door to all of its engines; each prompt stands for one sample.
        answered, _ = trainer._generate_single_turn(asked, None, {}, 1)
        return [
            Sampled(tuple(ids), tuple(answer), read_ids(trainer.processing_class, answer, len(ids)))
            for ids, answer in zip(asked, answered, strict=True)
        ]

    return sample
