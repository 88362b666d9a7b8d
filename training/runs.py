"""Runs: what a run of SFT is, and where it stands, so that it goes on when it was killed (examples → **run** → adapter)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
from msgspec import Struct, to_builtins

ADAPTER = "adapter"
LOG = "log.jsonl"
SETTINGS = "settings.json"


class Settings(Struct, frozen=True):
    """What makes a run what it is: the same examples and settings, on the same machine, train the same adapter.

    ``rank`` is the adapter's, ``learning_rate`` its peak, after which it falls to a tenth along a cosine.
    """

    rank: int = 16
    alpha: int = 32
    learning_rate: float = 8e-4
    epochs: int = 1
    batch: int = 8
    micro_batch: int = 2
    warmup_steps: int = 20
    max_length: int = 1_280
    most: int = 0
    """The most examples that are read; 0: all of them."""
    seed: int = 1


class Run(Struct, frozen=True):
    """A run's settings, and the hash of the examples it is of."""

    settings: Settings
    examples_sha256: str
    num_examples: int


class AnotherRun(Exception):
    """The folder holds a run of other examples or settings; the message names what differs."""


def prepare_run(folder: Path, examples: Path, settings: Settings) -> Run:
    """The run of this folder, begun now or before. Raises :class:`AnotherRun`."""
    content = examples.read_bytes()
    num_lines = content.count(b"\n")
    run = Run(settings, hashlib.sha256(content).hexdigest(), min(num_lines, settings.most or num_lines))
    file = folder / SETTINGS
    if file.exists():
        begun = msgspec.json.decode(file.read_bytes(), type=Run)
        if begun != run:
            raise AnotherRun(f"{folder} holds a run of other {_difference(begun, run)}; name another folder with --run")
    folder.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(run)))
    return run


def _difference(begun: Run, run: Run) -> str:
    if begun.settings == run.settings:
        return "examples"
    before, now = to_builtins(begun.settings), to_builtins(run.settings)
    return "settings: " + ", ".join(f"{key} {before[key]}, not {now[key]}" for key in now if before[key] != now[key])


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written whole: the trainer's state is the last file of one."""
    whole = [path for path in folder.glob("checkpoint-*") if (path / "trainer_state.json").exists()]
    return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)
