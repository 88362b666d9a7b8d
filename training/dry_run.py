"""The dry run: every command that trains a larger model, built here and read by the parsers that will read it (**course**).

Nothing is run. The launcher's arguments go through accelerate's parser, its configuration through accelerate's reader, SFT's
through TRL's parser, GRPO's through TRL's configuration, and everything of ours through our own.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from typer.main import get_command

from training.course import AnotherCourse, Course, with_settings
from training.tuning import check_batches, needs_torch

CONFIGURATIONS = Path(__file__).parent / "configurations"
_RUN = "training/runs/8b"


class Larger(Struct, frozen=True):
    """A model to train, who teaches it, and the settings that differ from those of a laptop."""

    base: str
    teacher: str
    teacher_gpus: int
    settings: tuple[str, ...]


MODELS = {
    "8b": Larger(
        base="Qwen3-8B",
        teacher="Qwen3-32B",
        teacher_gpus=4,
        settings=(
            "dialect=alignxplore",
            "max_tokens=400",
            "thresholds.least_p=0.9",
            "sft_examples=60000",
            "num_states=20000",
            "num_samples=8",
            "grpo.plan.max_tokens=400",
            "grpo.plan.num_samples=8",
            "grpo.plan.mode=each",
            "grpo.horizon=3",
            "grpo.steps=200",
            "grpo.episodes_per_step=64",
            "grpo.micro_batch=4",
            "grpo.learning_rate=0.000001",
            "grpo.full=true",
            "grpo.max_completion=4096",
            "grpo.vllm=colocate",
        ),
    )
}
"""The counts are AlignXplore+'s where it has them; its thinking 8B answers with up to 4,096 tokens."""
NOT_RUN = """\
Not run here: all of it. There was no GPU of this size, no package deepspeed, no folder with these weights. What was run here is
the same code with the 135M model on a CPU. Untested are therefore: memory and speed, weights spread by ZeRO-3 while a rollout
generates, vLLM beside the trainer, and what a teacher of 32B writes."""


class Command(Struct, frozen=True):
    """A command, what it is for, and what has read it (empty: nothing here can)."""

    purpose: str
    words: tuple[str, ...]
    read_by: str = ""

    def shown(self) -> str:
        """As it can be copied into a shell."""
        checked = f"read by {self.read_by}" if self.read_by else "not read by anything here"
        return f"# {self.purpose} ({checked})\n{shlex.join(self.words)}"


def shown(model: str, num_gpus: int) -> str:
    """The commands for one of ``MODELS``, checked. Raises :class:`AnotherCourse` and what :func:`needs_torch` raises."""
    return "\n\n".join([*(command.shown() for command in commands(MODELS[model], num_gpus)), NOT_RUN])


def commands(larger: Larger, num_gpus: int) -> list[Command]:
    """Every command in order. Raises :class:`AnotherCourse` where one of them would be refused, and by whom."""
    needs_torch()
    course = with_settings(Course(), larger.settings)
    return [*_teaching(larger), *_tuning(larger, course, num_gpus)]


def _teaching(larger: Larger) -> list[Command]:
    told = [word for setting in larger.settings for word in ("--set", setting)]
    server = ("--teacher", "http://127.0.0.1:8001", "--teacher-model", larger.teacher)
    merger = ("--merger", "http://127.0.0.1:8001", "--merger-model", larger.teacher)
    verifier = ("--reader", "http://127.0.0.1:8001", "--reader-model", larger.teacher)
    return [
        Command(
            "The teacher, who merges too; any OpenAI-compatible server will do",
            ("vllm", "serve", larger.teacher, "--tensor-parallel-size", str(larger.teacher_gpus), "--port", "8001"),
        ),
        _ours("S0: the signal", "signal", *told),
        _ours("S1: the questions worth training on", "prune"),
        _ours("S2: answers to learn", "merge", *server, *merger, *verifier),
    ]


def _tuning(larger: Larger, course: Course, num_gpus: int) -> list[Command]:
    policy = ("--server", "http://127.0.0.1:8002", "--model", "sft-8b")
    sft = ("--model_name_or_path", larger.base, "--output_dir", f"{_RUN}/sft-8b")
    return [
        Command(
            "The examples as TRL reads them",
            ("python", "-m", "training.converters", "examples", "sft", f"{_RUN}/merged.jsonl", "sft.jsonl"),
        ),
        _launched("SFT by TRL's own script, all weights", num_gpus, ("trl.scripts.sft", *_sft_words(sft)), _read_sft),
        Command(
            "The model after SFT, to be sampled",
            ("vllm", "serve", f"{_RUN}/sft-8b", "--served-model-name", "sft-8b", "--port", "8002"),
        ),
        Command(
            "The reader of the reward, another than the one of the evaluation",
            ("vllm", "serve", larger.base, "--port", "8003"),
        ),
        _ours(
            "S3: the best of several samples",
            "sample",
            *policy,
            *_rewarding(larger),
        ),
        _grpo(larger, course, num_gpus),
    ]


def _rewarding(larger: Larger) -> tuple[str, ...]:
    return "--reader", "http://127.0.0.1:8003", "--reader-model", larger.base


def _sft_words(more: Sequence[str]) -> tuple[str, ...]:
    return ("--config", str(CONFIGURATIONS.joinpath("sft-8b.yaml").relative_to(CONFIGURATIONS.parents[1])), *more)


def _grpo(larger: Larger, course: Course, num_gpus: int) -> Command:
    check_batches(course.grpo, num_gpus)
    words = ("training", "grpo", "--run", _RUN, "--weights", f"{_RUN}/sft-8b", *_rewarding(larger))
    return _launched(
        "S4: GRPO over streaming rollouts, all weights", num_gpus, words, lambda ours: _read_grpo(ours, course, num_gpus)
    )


def _ours(purpose: str, command: str, *more: str) -> Command:
    words = (command, "--run", _RUN, *more)
    _read_ours(words)
    return Command(purpose, ("python", "-m", "training", *words), "our own parser")


def _read_ours(words: Sequence[str]) -> str:
    from training.__main__ import app

    group: Any = get_command(app)
    group.commands[words[0]].make_context(words[0], list(words[1:]))
    return "our own parser"


def _launched(purpose: str, num_gpus: int, words: Sequence[str], read: Callable[[Sequence[str]], str]) -> Command:
    """A command by accelerate's launcher on all GPUs of the machine."""
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.commands.launch import launch_command_parser

    configuration = CONFIGURATIONS / "zero3.yaml"
    load_config_from_file(str(configuration))
    relative = str(configuration.relative_to(CONFIGURATIONS.parents[1]))
    launch = ("--config_file", relative, "--num_processes", str(num_gpus), "-m", *words)
    launch_command_parser().parse_args(list(launch))
    return Command(purpose, ("accelerate", "launch", *launch), f"accelerate's launcher and {read(words[1:])}")


def _read_sft(words: Sequence[str]) -> str:
    from trl.scripts.sft import make_parser

    # Whether bfloat16 and TF32 can be had is a matter of the machine, and this one is another.
    here = ("--use_cpu", "true", "--tf32", "false")
    try:
        make_parser().parse_args_and_config(args=[*words, *here], fail_with_unknown_args=True)
    except (ValueError, SystemExit) as error:
        raise AnotherCourse(f"TRL refuses {shlex.join(words)}: {error}") from error
    return "TRL's parser (with --use_cpu)"


def _read_grpo(words: Sequence[str], course: Course, num_gpus: int) -> str:
    from training.grpo import arguments_of

    _read_ours(words)

    # vLLM's own checks need the package and a GPU.
    settings = replace(course.grpo, vllm="")
    try:
        arguments_of(settings, Path(_RUN), num_gpus, use_cpu=True)
    except ValueError as error:
        raise AnotherCourse(f"TRL refuses the settings of S4: {error}") from error
    return "our own parser and TRL's configuration (with use_cpu)"
