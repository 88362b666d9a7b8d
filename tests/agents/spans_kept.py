"""In place of a collector: the spans that ended, to be looked at."""

from __future__ import annotations

from typing import Any, cast

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan

from agents.metrics import Metrics
from agents.span_export import SpanExport
from agents.spans import Spans

MODEL = "counting"


class Kept(SpanExport):
    """The sampled spans that ended, in their order."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:9", Metrics())
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        if span.context.trace_flags.sampled:
            self.spans.append(span)

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.spans]

    def named(self, name: str) -> Any:
        """The one span of this name."""
        (found,) = (span for span in self.spans if span.name == name)
        return cast(Any, found)


def spans_to(kept: Kept, ratio: float = 0.0) -> Spans:
    """What the worker of the namespace ``t`` traces."""
    return Spans("t", MODEL, ratio, Resource({}), kept)
