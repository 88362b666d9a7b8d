"""The journal of a run: a line for each step, a bar for whoever watches, and a checkpoint every few minutes (**SFT**, GRPO)."""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from transformers import TrainerCallback


class Journal(TrainerCallback):
    """Writes what the trainer logs, with the seconds since this process began to train and the most memory it took (MiB)."""

    def __init__(self, log: Path, checkpoint_minutes: float) -> None:
        self._log = log
        self._checkpoint_seconds = checkpoint_minutes * 60
        self._began = self._saved = time.monotonic()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=Console(stderr=True))
        self._task = self._progress.add_task("training")

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Show where the run stands."""
        self._began = self._saved = time.monotonic()
        self._progress.start()
        self._progress.update(self._task, total=state.max_steps, completed=state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Ask for a checkpoint when it is time."""
        self._progress.update(self._task, completed=state.global_step)
        if time.monotonic() - self._saved >= self._checkpoint_seconds:
            self._saved = time.monotonic()
            control.should_save = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """A line of the log."""
        line = {
            "step": state.global_step,
            "seconds": round(time.monotonic() - self._began, 1),
            "rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            **(logs or {}),
        }
        with self._log.open("ab") as file:
            file.write(msgspec.json.encode(line) + b"\n")
        if "loss" in line:
            self._progress.update(self._task, description=f"training, loss {line['loss']:.3f}")

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Take the bar away."""
        self._progress.stop()
