"""The command ``python -m agents``: reads the settings, asks the broker what is there, and runs a worker until told to stop."""

from __future__ import annotations

import argparse
import signal
import sys

import faust
import structlog
from faust.exceptions import ImproperlyConfigured

from agents import crash_points
from agents.app import Worker
from agents.boot import NotReadyToStart, check_port, read_adapters, read_cluster
from agents.effective import Effective, asks_to_crash, read_effective, read_settings, shown, shown_default
from agents.failstop import stop_unfinished
from agents.faust_fixes import UnprovenVersion, assert_versions
from agents.logs import say_why_not, set_up_logging
from agents.model import read_model
from agents.schemas import no_schemas
from agents.settings import PREFIX, InvalidSettings, Settings
from agents.store import DirectoryUnusable, claim_directory
from prefstream.errors import PrefstreamError

COULD_NOT_START = 2

_WIDE = 72  # of a line of a setting: longer ones do not push the others' sources away
_SAME_SIGNAL_SECONDS = 1.0  # one Ctrl-C often comes twice: from the terminal and from the parent

log = structlog.get_logger()

NO_FORGET_KEY = (
    f"{PREFIX}FORGET_KEY is not set: give every worker one before the first person is forgotten; "
    "after that, a worker with another key than before ends itself"
)


class Runner(faust.Worker):
    """Runs the worker until a signal; one more signal while it drains ends it at once."""

    def _schedule_shutdown(self, signal: signal.Signals) -> None:
        if not self._signal_stop_time:
            log.info("stopping: what is in flight is finished first, a second signal ends it at once", signal=signal.name)
        elif self.loop.time() - self._signal_stop_time > _SAME_SIGNAL_SECONDS:
            stop_unfinished(f"a second signal, {signal.name}")
        super()._schedule_shutdown(signal)


def main() -> int:
    """Run a worker. Returns the exit code: 0 stopped on request, 2 could not start.

    Others come from :mod:`agents.failstop`: 70 stopped itself, 75 stopped on request before it had finished.
    """
    try:
        if _arguments().show_settings:
            sys.stdout.write(_settings_shown(read_effective()))
            return 0
        worker = _new_worker()
    except (
        InvalidSettings,
        DirectoryUnusable,
        NotReadyToStart,
        PrefstreamError,
        UnprovenVersion,
        ImproperlyConfigured,
    ) as error:
        say_why_not(error)
        return COULD_NOT_START
    return _run(worker)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m agents",
        description="Run a worker. It reads its settings from the environment, and from the TOML file that PREFSTREAM_SETTINGS "
        "names, and runs until SIGTERM or Ctrl-C.",
        epilog=_settings_help(),
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--show-settings", action="store_true", help="print them as they are, secrets masked, and do not run")
    return parser.parse_args()


def _settings_shown(effective: Effective) -> str:
    """A line for each setting, with where it came from; those that are not set are comments, because most cannot be empty."""
    values = [(name, getattr(effective.settings, name)) for name in effective.sources]
    lines = [f"{'# ' if value is None else ''}{PREFIX + name.upper()}={shown(value)}" for name, value in values]
    width = max(len(line) for line in lines if len(line) < _WIDE)
    return "".join(f"{line:{width}}  # {source}\n" for line, source in zip(lines, effective.sources.values(), strict=True))


def _new_worker() -> Worker:
    assert_versions()
    settings = read_settings()
    model = read_model(settings)
    set_up_logging(settings.log_level, settings.log_format)
    if asks_to_crash() and not crash_points.is_armed():
        log.warning(f"{crash_points.VARIABLE} is ignored: only the worker of the fault tests crashes on request")
    check_port(settings)
    claim_directory(settings.data_directory)
    schemas = no_schemas()
    adapters = read_adapters(settings, schemas)
    worker = Worker(settings, read_cluster(settings), adapters, model, schemas)
    if settings.forget_key is None:
        log.warning(NO_FORGET_KEY)
    return worker


def _run(worker: Worker) -> int:
    runner = Runner(worker, override_logging=False, redirect_stdouts=False, quiet=True)
    runner.spinner = None
    code: int | str | None = 0
    try:
        runner.execute_from_commandline()
    except SystemExit as exit:
        code = exit.code
    log.info("worker stopped", exit_code=code)
    return code if isinstance(code, int) else 1


def _settings_help() -> str:
    lines = [
        f"  {PREFIX + name.upper():36} {field.description} (default: {shown_default(field)})"
        for name, field in Settings.model_fields.items()
    ]
    return "settings, from the environment, or in small letters and without PREFSTREAM_ from the file:\n" + "\n".join(lines)
