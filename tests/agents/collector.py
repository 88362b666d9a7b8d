"""A scripted collector of traces: it takes OTLP over HTTP, and answers as it is told; for unit tests, and on a broker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from deploy.kafka.node import free_port


class Collector:
    """What was sent to it, as protobuf says it; ``status`` is its answer, and it ``may_answer`` or not at all."""

    def __init__(self) -> None:
        self.status = 200
        self.may_answer = Event()
        self.may_answer.set()
        self.num_requests = 0
        self.authorizations: set[str | None] = set()
        self.requests: list[ExportTraceServiceRequest] = []
        self.url = f"http://127.0.0.1:{free_port()}"

    @property
    def spans(self) -> list[Any]:
        """The spans it took."""
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def named(self, beginning: str) -> list[Any]:
        """Those whose names begin so."""
        return [span for span in self.spans if span.name.startswith(beginning)]

    def take(self, path: str, authorization: str | None, body: bytes) -> int:
        """The status of the answer to one request."""
        self.num_requests += 1
        self.authorizations.add(authorization)
        self.may_answer.wait()
        if path != "/v1/traces":
            return 404
        if self.status == 200:
            self.requests.append(ExportTraceServiceRequest.FromString(body))
        return self.status

    @contextmanager
    def served(self) -> Iterator[Collector]:
        """Listening, until the end."""
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(collector.take(self.path, self.headers["Authorization"], body))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                """Not to the terminal."""

        server = ThreadingHTTPServer(("127.0.0.1", int(self.url.rsplit(":", 1)[1])), Handler)
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield self
        finally:
            self.may_answer.set()
            server.shutdown()
            server.server_close()
            thread.join()


def attributes_of(span: Any) -> dict[str, Any]:
    """What a span says, by name."""
    return {one.key: _value(one) for one in span.attributes}


def _value(one: KeyValue) -> Any:
    return getattr(one.value, one.value.WhichOneof("value") or "string_value")
