"""Start a worker: ``python -m agents``. Reads the settings, asks the broker what is there, and runs until told to stop."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import faust
import structlog
from faust.exceptions import ImproperlyConfigured

from agents.app import Cluster, Worker
from agents.faust_fixes import UnprovenVersion, assert_versions
from agents.settings import PREFIX, InvalidSettings, Settings, read_settings
from agents.store import DirectoryTaken, claim_directory
from prefstream.admin import TopicState, topic_ids, topic_states
from prefstream.errors import PrefstreamError
from prefstream.topics import TopicNames
from streams.adapters import Adapter
from streams.adapters.cloudevents import cloudevents
from streams.adapters.mapping import mapping_adapter
from streams.adapters.mapping_file import parse_mapping
from streams.adapters.native import native
from streams.errors import InvalidMapping


class NotReadyToStart(Exception):
    """Something a worker needs is not there; the message says what to do."""


def main() -> int:
    """Run a worker. Returns the exit code: 0 stopped on request, 2 could not start."""
    argparse.ArgumentParser(
        prog="python -m agents",
        description="Run a worker.",
        epilog=_settings_help(),
        formatter_class=argparse.RawTextHelpFormatter,
    ).parse_args()
    try:
        assert_versions()
        settings = read_settings()
        _set_up_logging(settings.log_level)
        claim_directory(settings.data_directory)
        worker = Worker(settings, read_cluster(settings), read_adapters(settings))
    except (
        InvalidSettings,
        DirectoryTaken,
        NotReadyToStart,
        PrefstreamError,
        UnprovenVersion,
        ImproperlyConfigured,
    ) as error:
        sys.stderr.write(f"prefstream: {error}\n")
        return 2
    return _run(worker)


def _run(worker: Worker) -> int:
    runner = faust.Worker(worker, loglevel=worker.settings.log_level, logging_config=None, redirect_stdouts=False)
    try:
        runner.execute_from_commandline()
    except SystemExit as exit:
        return exit.code if isinstance(exit.code, int) else 1
    return 0


def read_adapters(settings: Settings) -> dict[str, Adapter]:
    """The adapter of each source topic. Raises :class:`NotReadyToStart` for a mapping file that is missing or wrong."""
    return {topic: _adapter(topic, name) for topic, name in settings.all_sources.items()}


def _adapter(topic: str, name: str) -> Adapter:
    if name == "native":
        return native
    if name == "cloudevents":
        return cloudevents
    path = Path(name.removeprefix("mapping:"))
    try:
        return mapping_adapter(parse_mapping(path.read_text()))
    except (OSError, UnicodeDecodeError, InvalidMapping) as error:
        raise NotReadyToStart(f"{PREFIX}SOURCES: {topic}: {path}: {error}") from None


def read_cluster(settings: Settings) -> Cluster:
    """What the broker has. Raises :class:`NotReadyToStart` when a topic is missing or the keyed ones do not match."""
    names = TopicNames(settings.namespace)
    keyed = (names.events, names.pending, names.summaries)
    states = topic_states(settings.bootstrap_servers, (*keyed, names.dead_letters, names.inbox, *settings.sources))
    missing = [name for name in (*keyed, names.dead_letters, names.inbox) if name not in states]
    if missing:
        raise NotReadyToStart(f"no topic {', '.join(missing)}: run `prefstream topics create --namespace {settings.namespace}`")
    unread = [name for name in settings.sources if name not in states]
    if unread:
        raise NotReadyToStart(
            f"{PREFIX}SOURCES names {', '.join(unread)}, which the broker does not have: create it, or correct the name"
        )
    return Cluster(_common_partitions({name: states[name] for name in keyed}), topic_ids(settings.bootstrap_servers, states))


def _common_partitions(states: dict[str, TopicState]) -> int:
    counts = {name: state.num_partitions for name, state in states.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise NotReadyToStart(
            f"the keyed topics must have equally many partitions, and have: {listed}; see `prefstream topics create`"
        )
    return next(iter(counts.values()))


def _settings_help() -> str:
    lines = [
        f"  {PREFIX + name.upper():36} {field.description} (default: {_shown(field)})"
        for name, field in Settings.model_fields.items()
    ]
    return "settings, from the environment:\n" + "\n".join(lines)


def _shown(field: object) -> object:
    default = getattr(field, "default", None)
    return "none" if default is None or "Undefined" in repr(default) else default


def _set_up_logging(level: str) -> None:
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)-7s %(name)s %(message)s", stream=sys.stderr)
    # Faust filters in its handlers, so a logger left at DEBUG builds a record for every message.
    for noisy in ("faust", "mode", "aiokafka", "kafka", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


if __name__ == "__main__":
    sys.exit(main())
