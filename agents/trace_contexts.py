"""Trace contexts: how a trace comes along with records, and what is remembered of pending events until their flush.

Place in the flow: below :mod:`agents.spans`. W3C Trace Context (https://www.w3.org/TR/trace-context/) in headers of Kafka.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanContext, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

MAX_TRACE_STATE = 512  # characters that the specification asks everybody to carry on
_W3C = TraceContextTextMapPropagator()
# CloudEvents carry them under their own prefix, where the producer sets none of the protocol's.
_NAMES = {"traceparent": "traceparent", "tracestate": "tracestate"}
_OF_CLOUDEVENTS = {f"ce_{name}": name for name in _NAMES}

MAX_OF_A_USER = 16
MAX_OF_ALL = 10_000  # 5 MB


def context_of(headers: Iterable[tuple[str, bytes | None]]) -> Context:
    """The trace that a record belongs to, an empty context where it names none, or none that can be read."""
    found = [(name.lower(), value) for name, value in headers if value is not None]
    carried = _carried(found, _NAMES) or _carried(found, _OF_CLOUDEVENTS)
    return _W3C.extract(carried, Context())


def _carried(headers: Iterable[tuple[str, bytes]], names: Mapping[str, str]) -> dict[str, str]:
    carried: dict[str, str] = {}
    for name, value in headers:
        if (short := names.get(name)) is None or (short == "tracestate" and len(value) > MAX_TRACE_STATE):
            continue
        if short in carried:  # nobody knows which of them is meant
            return {}
        carried[short] = value.decode("ascii", "replace")
    return carried


def headers_of(span: Span) -> tuple[tuple[str, bytes], ...]:
    """The same trace, for records that are made in this span."""
    return tuple((name, value.encode()) for name, value in http_headers_of(span).items())


def http_headers_of(span: Span) -> dict[str, str]:
    """The same trace, for a server that is called in this span."""
    carried: dict[str, str] = {}
    _W3C.inject(carried, set_span_in_context(span, Context()))
    return carried


class Remembered:
    """Which traces the pending events of users belong to, as far as they were collected by this process, and are sampled.

    Of a user the oldest :data:`MAX_OF_A_USER` are kept, which the next flush covers; of all users :data:`MAX_OF_ALL`, without
    those whose first one is oldest.
    """

    def __init__(self, max_of_a_user: int = MAX_OF_A_USER, max_of_all: int = MAX_OF_ALL) -> None:
        self._max_of_a_user = max_of_a_user
        self._max_of_all = max_of_all
        self._users: OrderedDict[tuple[int, bytes], dict[int, SpanContext]] = OrderedDict()
        self.num = 0

    def add(self, partition: int, user: bytes, offset: int, context: SpanContext) -> None:
        """The event at this offset of the keyed topic is pending."""
        contexts = self._users.setdefault((partition, user), {})
        if offset in contexts or len(contexts) >= self._max_of_a_user:
            return
        contexts[offset] = context
        self.num += 1
        while self.num > self._max_of_all:
            self.num -= len(self._users.popitem(last=False)[1])

    def of(self, partition: int, user: bytes, offsets: Iterable[int]) -> list[SpanContext]:
        """Those of these events that are remembered."""
        contexts = self._users.get((partition, user), {})
        return [contexts[offset] for offset in offsets if offset in contexts]

    def drop_below(self, partition: int, user: bytes, offset: int) -> None:
        """What the user had below this offset is not pending any more: given up, or covered by another worker."""
        contexts = self._users.get((partition, user), {})
        self.drop(partition, user, [one for one in contexts if one < offset])

    def drop(self, partition: int, user: bytes, offsets: Iterable[int]) -> None:
        """These events are not pending any more."""
        contexts = self._users.get((partition, user), {})
        self.num -= sum(contexts.pop(offset, None) is not None for offset in offsets)
        if not contexts:
            self._users.pop((partition, user), None)

    def forget(self, partition: int, user: bytes) -> None:
        """Nothing of the user is remembered any more."""
        self.num -= len(self._users.pop((partition, user), {}))
