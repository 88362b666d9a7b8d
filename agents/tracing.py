"""Tracing: where the worker's parts say what begins and ends, for whoever traces it; by itself it does nothing.

Place in the flow: beside intake, collect, dispatch and write back, which know only these classes. With a collector of traces in
the settings :mod:`agents.spans` takes their place; without one nothing of OpenTelemetry is imported.
"""

from __future__ import annotations

from collections.abc import Mapping

from faust.types import Message

from agents.metrics import Metrics
from agents.settings import Settings
from agents.writer import Headers
from streams.evolution.records import CallResult
from streams.pending import Due

NO_HEADERS: Headers = ()
NO_HTTP_HEADERS: Mapping[str, str] = {}


class RecordTrace:
    """One record, from when it was read until it is known what becomes of it."""

    def headers(self) -> Headers:
        """What the records that are made of it carry."""
        return NO_HEADERS

    def ended(self, outcome: str, *, is_failure: bool = False) -> None:
        """It is known: in one of few words."""


class FlushTrace:
    """One turn of one user, as :class:`agents.flushes.Flush` follows it."""

    def calls(self) -> Mapping[str, str]:
        """The model is called; the HTTP headers that say so to its server."""
        return NO_HTTP_HEADERS

    def called(self, result: CallResult) -> None:
        """The call ended."""

    def writes_back(self) -> Headers:
        """A version is on its way; what its record carries."""
        return NO_HEADERS

    def ended(self, outcome: str, why: str, num_events: int) -> None:
        """It is known what became of the turn, and of its first ``num_events`` events."""


class Tracing:
    """What there is to trace."""

    def takes_in(self, message: Message) -> RecordTrace:
        """Intake has read a record of a source."""
        return NO_RECORD

    def collects(self, message: Message) -> RecordTrace:
        """Collect has read a record of the keyed topic."""
        return NO_RECORD

    def forgets(self, message: Message) -> None:
        """The user of this record of the keyed topic is forgotten."""

    def flushes(self, partition: int, due: Due) -> FlushTrace:
        """A user is taken up."""
        return NO_FLUSH

    def open(self) -> None:
        """The worker starts."""

    async def close(self) -> None:
        """The worker has stopped; it waits for no collector."""


NO_RECORD = RecordTrace()
NO_FLUSH = FlushTrace()
OFF = Tracing()


def new_tracing(settings: Settings, metrics: Metrics) -> Tracing:
    """What the settings ask for."""
    if settings.traces_url is None:
        return OFF
    from agents.spans import traced_to_a_collector

    return traced_to_a_collector(settings, settings.traces_url, metrics)
