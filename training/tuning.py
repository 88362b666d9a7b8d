"""The two stages that change weights: SFT on examples, and GRPO from its adapter (S2, S3 → **SFT**, **S4** → adapter).

torch is imported when a stage is begun, so that all others run where there is none.
"""

from __future__ import annotations

import time
import warnings
from importlib.util import find_spec
from pathlib import Path
from random import Random

import msgspec
from msgspec import Struct

from model_server.tokenizer import load_tokenizer
from training.course import AnotherCourse, GrpoSettings
from training.examples import read_examples, write_examples
from training.lines import write_lines
from training.runs import ADAPTER, Settings, prepare_run
from training.stages import MERGED, NotReady, Stage, episodes_of, note
from training.teaching import Lessons, teach
from training.workshop import Workshop

EXAMPLES = "sft.jsonl"
SETTINGS = "grpo.json"


class TorchMissing(Exception):
    """This Python has no torch; the message says which one has."""


class Steps(Struct, frozen=True):
    """A run of S4: its settings, and whether its episodes begin at the control's questions."""

    settings: GrpoSettings
    use_control: bool


def tune(shop: Workshop, weights: Path) -> Path:
    """SFT on what S2 merged and on what counting teaches, so many examples together; the folder of the adapter."""
    folder = shop.folder / "sft"
    if not (folder / ADAPTER).exists():
        needs_torch()
        from training.sft import train

        examples = shop.folder / EXAMPLES
        if not examples.exists():
            _write_mix(shop, examples, weights)
        begun, minutes = time.monotonic(), shop.course.checkpoint_minutes
        run = prepare_run(folder, examples, Settings(seed=shop.course.seed))
        train(run, folder, examples, weights, minutes)
        note(shop.folder, Stage("sft", round(time.monotonic() - begun, 1), {"num_examples": run.num_examples}))
    return folder / ADAPTER


def _write_mix(shop: Workshop, path: Path, weights: Path) -> None:
    merged = shop.folder / MERGED
    if not merged.exists():
        raise NotReady(f"{merged} is not there: python -m training merge --run {shop.folder} writes it")
    random, most = Random(shop.course.seed), shop.course.sft_examples
    count = load_tokenizer(weights / "tokenizer.json").count
    learnt = list(read_examples(merged))
    random.shuffle(learnt)
    taught = list(teach(shop.people.values(), count, shop.course.seed, Lessons()))
    random.shuffle(taught)
    # Half of them at most: few merged texts seen again and again would be learnt by heart.
    chosen = learnt[: most // 2]
    chosen += taught[: most - len(chosen)]
    random.shuffle(chosen)
    write_examples(path, chosen)


def reinforce(
    shop: Workshop, name: str, settings: GrpoSettings, use_control: bool, weights: Path, adapter: Path | None
) -> Path:
    """S4 in the folder ``name`` of the run; the folder of the trained model. Raises :class:`AnotherCourse`."""
    folder = shop.folder / name
    if not (folder / ADAPTER).exists():
        needs_torch()
        from training.grpo import train

        _check_steps(folder, Steps(settings, use_control))
        episodes = episodes_of(shop, settings.horizon, use_control)
        begun = time.monotonic()
        train(folder, settings, episodes, shop.dialect, shop.judge, weights, adapter, shop.course.checkpoint_minutes)
        note(shop.folder, Stage(name, round(time.monotonic() - begun, 1), {"num_episodes": len(episodes)}))
    return folder / ADAPTER


def check_batches(settings: GrpoSettings, num_processes: int = 1) -> None:
    """Raises :class:`AnotherCourse` where the samples of a step do not fill whole batches of whole episodes."""
    if settings.plan.num_samples < 2:
        raise AnotherCourse("grpo.plan.num_samples has to be at least 2: a sample is compared with its group")
    if settings.episodes_per_step % num_processes:
        raise AnotherCourse(f"grpo.episodes_per_step has to be a multiple of the {num_processes} processes")
    each = settings.samples_per_step // num_processes
    if each % settings.micro_batch:
        raise AnotherCourse(f"grpo.micro_batch has to divide the {each} samples that a process takes a step")


def _check_steps(folder: Path, steps: Steps) -> None:
    check_batches(steps.settings)
    file = folder / SETTINGS
    if file.exists():
        if msgspec.json.decode(file.read_bytes(), type=Steps) != steps:
            raise AnotherCourse(f"{folder} holds steps with other settings; name another one with --name")
    else:
        write_lines(file, [steps])


def needs_torch() -> None:
    """Raises :class:`TorchMissing` where this Python cannot train."""
    missing = [name for name in ("torch", "trl", "peft", "datasets") if find_spec(name) is None]
    if missing:
        raise TorchMissing(f"this Python has no {missing[0]}: use .venv-engine/bin/python, which `make train` sets up")
    # Our vLLM is newer than those TRL knows, and only generates where a setting asks for it.
    warnings.filterwarnings("ignore", message="TRL currently supports vLLM")
    # We use what is experimental, and pin TRL.
    warnings.filterwarnings("ignore", message="You are using 'rollout_func'")
