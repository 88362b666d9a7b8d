"""Spans: the worker's traces in OpenTelemetry: event → flush → call → write back. No user, text or item is in them.

Place in the flow: in place of :mod:`agents.tracing`'s classes, which do nothing, where a collector is set. Names and attributes
follow OpenTelemetry's conventions for messaging, Kafka and generative models (opentelemetry.io/docs/specs/semconv), without a
record's key, which is a user.

An event's spans are of its producer's trace: ``intake`` of the source, ``collect`` of the keyed topic, which our own header
connects. A flush covers several events, so it is a trace of its own that is linked to theirs; the model's server, and whoever
reads the summary, can go on with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from faust.types import Message
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    TraceState,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.util.types import Attributes

from agents.metrics import Metrics
from agents.settings import Settings
from agents.span_export import SpanExport
from agents.trace_contexts import Remembered, context_of, headers_of, http_headers_of
from agents.tracing import NO_HEADERS, NO_RECORD, FlushTrace, RecordTrace, Tracing
from agents.writer import Headers
from prefstream.topics import TopicNames
from streams.evolution.records import CallResult, Completion, Refused, Unavailable
from streams.pending import Due

_FAILURES = ("rejected", "refused", "unavailable", "unprocessable")


def traced_to_a_collector(settings: Settings, url: str, metrics: Metrics) -> Tracing:
    """Traces that go to the collector at ``url``."""
    token = settings.traces_token
    export = SpanExport(url, metrics, token=token.get_secret_value() if token else None, ca_file=settings.traces_ca_file)
    instance = {"service.instance.id": settings.instance} if settings.instance else {}
    resource = Resource.create({"service.name": "prefstream-worker", "service.namespace": settings.namespace, **instance})
    model = settings.model_name or settings.profile.served_name
    return Spans(settings.namespace, model, settings.traces_ratio, resource, export)


class LinkedOrRatio(Sampler):
    """As the parent was; without one as those that are linked were, any of them; without those by chance."""

    def __init__(self, ratio: float) -> None:
        self._ratio = ratio
        self._otherwise = ParentBased(TraceIdRatioBased(ratio))

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """The decision for one span that begins."""
        is_linked = any(link.context.trace_flags.sampled for link in links or ())
        sampler = ALWAYS_ON if is_linked else self._otherwise
        return sampler.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        """For people."""
        return f"LinkedOrRatio({self._ratio:g})"


class Spans(Tracing):
    """All that a worker traces; ``model`` is the name under which servers know it."""

    def __init__(self, namespace: str, model: str, ratio: float, resource: Resource, export: SpanExport) -> None:
        provider = TracerProvider(sampler=LinkedOrRatio(ratio), resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(export)
        self._export = export
        self._tracer = provider.get_tracer("prefstream")
        self._group = namespace
        self._topics = TopicNames(namespace)
        self._model = model
        self._remembered = Remembered()

    def takes_in(self, message: Message) -> RecordTrace:
        """A span in the producer's trace."""
        return _RecordSpan(self._begin("intake", message, context_of(message.headers or ())))

    def collects(self, message: Message) -> RecordTrace:
        """A span behind intake's, where that is sampled."""
        context = context_of(message.headers or ())
        if not get_current_span(context).get_span_context().trace_flags.sampled:
            return NO_RECORD
        return _CollectSpan(self._begin("collect", message, context), self._remembered, message)

    def _begin(self, name: str, message: Message, context: Context) -> Span:
        attributes = _messaging(name, "process", message.topic) | {
            "messaging.consumer.group.name": self._group,
            "messaging.destination.partition.id": str(message.partition),
            "messaging.kafka.offset": message.offset,
        }
        return self._tracer.start_span(f"{name} {message.topic}", context, SpanKind.CONSUMER, attributes)

    def forgets(self, message: Message) -> None:
        """Nothing is remembered of the user."""
        self._remembered.forget(message.partition, message.key or b"")

    def flushes(self, partition: int, due: Due) -> FlushTrace:
        """A trace that is linked to those of its events."""
        return _FlushSpan(self._tracer, self._topics, self._model, self._remembered, partition, due)

    def open(self) -> None:
        """Begin to send."""
        self._export.open()

    async def close(self) -> None:
        """Send what there is, for a moment."""
        await self._export.close()


def _messaging(name: str, kind: str, topic: str) -> dict[str, str | int]:
    return {
        "messaging.system": "kafka",
        "messaging.operation.name": name,
        "messaging.operation.type": kind,
        "messaging.destination.name": topic,
    }


def _fail(span: Span, why: str) -> None:
    span.set_attribute("error.type", why)
    span.set_status(Status(StatusCode.ERROR))


class _RecordSpan(RecordTrace):
    def __init__(self, span: Span) -> None:
        self._span = span

    def headers(self) -> Headers:
        """Of what is sampled: nobody behind intake would do anything with another."""
        return headers_of(self._span) if self._span.is_recording() else NO_HEADERS

    def ended(self, outcome: str, *, is_failure: bool = False) -> None:
        self._span.set_attribute("prefstream.outcome", outcome)
        if is_failure:
            _fail(self._span, outcome)
        self._span.end()


class _CollectSpan(_RecordSpan):
    def __init__(self, span: Span, remembered: Remembered, message: Message) -> None:
        super().__init__(span)
        self._remembered = remembered
        self._message = message

    def ended(self, outcome: str, *, is_failure: bool = False) -> None:
        super().ended(outcome, is_failure=is_failure)
        if outcome == "accepted":
            message = self._message
            self._remembered.add(message.partition, message.key, message.offset, self._span.get_span_context())


class _FlushSpan(FlushTrace):
    def __init__(
        self, tracer: Tracer, topics: TopicNames, model: str, remembered: Remembered, partition: int, due: Due
    ) -> None:
        self._tracer = tracer
        self._topics = topics
        self._model = model
        self._remembered = remembered
        self._partition = partition
        self._due = due
        remembered.drop_below(partition, due.user, min(due.offsets, default=0))
        links = [Link(context) for context in remembered.of(partition, due.user, due.offsets)]
        attributes = _messaging("flush", "process", topics.events) | {
            "messaging.destination.partition.id": str(partition),
            "messaging.batch.message_count": len(due.offsets),
            "prefstream.flush.reason": due.reason,
        }
        self._span = tracer.start_span(f"flush {topics.events}", Context(), SpanKind.CONSUMER, attributes, links)
        self._call: Span | None = None
        self._write_back: Span | None = None

    def _child(self, name: str, kind: SpanKind, attributes: Mapping[str, str | int]) -> Span:
        return self._tracer.start_span(name, set_span_in_context(self._span, Context()), kind, attributes)

    def calls(self) -> Mapping[str, str]:
        attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": self._model}
        self._call = self._child(f"chat {self._model}", SpanKind.CLIENT, attributes)
        return http_headers_of(self._call)

    def called(self, result: CallResult) -> None:
        if self._call is None:
            return
        match result:
            case Completion():
                self._call.set_attribute("gen_ai.usage.input_tokens", result.prompt_tokens)
                self._call.set_attribute("gen_ai.usage.output_tokens", result.completion_tokens)
            case Unavailable(reason=reason):
                _fail(self._call, reason)
            case Refused(status=status):
                _fail(self._call, str(status))
        self._call.end()

    def writes_back(self) -> Headers:
        topic = self._topics.summaries
        attributes = _messaging("write back", "send", topic) | {"messaging.destination.partition.id": str(self._partition)}
        self._write_back = self._child(f"write back {topic}", SpanKind.PRODUCER, attributes)
        return headers_of(self._write_back) if self._write_back.is_recording() else NO_HEADERS

    def ended(self, outcome: str, why: str, num_events: int) -> None:
        if self._write_back is not None:
            self._write_back.end()
            self._remembered.drop(self._partition, self._due.user, self._due.offsets[:num_events])
        self._span.set_attribute("prefstream.outcome", outcome)
        if outcome in _FAILURES:
            _fail(self._span, why or outcome)
        self._span.end()
