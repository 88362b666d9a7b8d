"""TLS, certificates and passwords on a real broker: every client comes in by each listener, and a wrong setting is named."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import web
from typer.testing import CliRunner

from deploy.kafka.node import free_port
from model_server.counting import Settings, make_app
from prefstream import cli, connection
from prefstream.admin import create_topics, topic_states
from prefstream.errors import NotLetIn
from prefstream.events import decode_event
from prefstream.publisher import Publisher
from prefstream.reader import SummaryReader
from prefstream.security import Brokers, security_of
from prefstream.topics import TopicNames, topic_specs
from tests.authority import Authority
from tests.kafka.fortress import KEY_PASSWORD, PASSWORD, Fortress
from tests.kafka.worker_process import Flow, Worker, applied, until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

API_KEY = "sk-bearer-very-secret"
SECRETS = (PASSWORD, KEY_PASSWORD, API_KEY)
run = CliRunner().invoke


def rating(user: str) -> bytes:
    item = {"id": "1", "title": "Fargo (1996)", "attributes": {"genre": ["crime", "drama"]}}
    event = {"type": "rating", "user": user, "at": "2026-01-05T20:15:00Z", "domain": "films", "item": item, "value": 5}
    return json.dumps(event).encode()


LISTENERS = [
    ("SSL", {}),
    ("SASL_PLAINTEXT", {}),
    ("SASL_SSL", {}),
    ("SASL_SSL", {"mechanism": "PLAIN"}),
]


@pytest.mark.parametrize(("protocol", "others"), LISTENERS)
def test_every_client_of_the_package_comes_in(
    fortress: Fortress, namespace: str, protocol: str, others: dict[str, str]
) -> None:
    brokers = Brokers(fortress.address(protocol), security_of(fortress.variables(protocol, **others)))
    names = TopicNames(namespace)
    create_topics(brokers, topic_specs(namespace))
    assert names.inbox in topic_states(brokers, [names.inbox])
    with Publisher(brokers, names.inbox) as publisher:
        publisher.publish(decode_event(rating("ada")))
    assert publisher.num_acknowledged == 1
    with SummaryReader(brokers, names.summaries) as reader:
        assert reader.current("ada") is None


def test_the_command_line_comes_in(fortress: Fortress, namespace: str, tmp_path: Path) -> None:
    environment = fortress.variables("SASL_SSL") | {
        "PREFSTREAM_NAMESPACE": namespace,
        "PREFSTREAM_BOOTSTRAP_SERVERS": fortress.address("SASL_SSL"),
    }
    (tmp_path / "events.jsonl").write_bytes(rating("ada") + b"\n")
    for arguments in (["topics", "create"], ["publish", str(tmp_path / "events.jsonl")], ["audit"], ["dead-letters", "list"]):
        done = run(cli.app, arguments, env=environment)
        assert done.exit_code == 0, (arguments, done.output, done.exception)


@pytest.mark.parametrize(
    ("protocol", "port_of", "others", "sentence"),
    [
        ("SASL_SSL", "SASL_SSL", {"password": "wrong"}, r"does not take user 'ada' with this password: correct .*_PASSWORD"),
        ("SASL_SSL", "SASL_SSL", {"password": "wrong", "mechanism": "PLAIN"}, "does not take user 'ada'"),
        ("SASL_SSL", "SASL_SSL", {"username": "eve"}, "does not take user 'eve'"),
        ("SASL_SSL", "SASL_SSL", {"ca_file": "theirs"}, r"is not trusted \(.*\): name the authority .*_CA_FILE"),
        ("SASL_SSL", "SASL_SSL", {"ca_file": ""}, r"is not trusted \(.*\): name the authority .*_CA_FILE"),
        ("SASL_SSL", "SASL_SSL", {"mechanism": "SCRAM-SHA-256"}, "write one of .*SCRAM-SHA-512.* into .*_MECHANISM"),
        ("SASL_SSL", "SASL_PLAINTEXT", {}, "does not speak TLS: write PREFSTREAM_KAFKA_PROTOCOL=SASL_PLAINTEXT"),
        ("SSL", "PLAINTEXT", {}, "does not speak TLS: write PREFSTREAM_KAFKA_PROTOCOL=PLAINTEXT"),
        ("SASL_PLAINTEXT", "SASL_SSL", {}, "speaks TLS: write PREFSTREAM_KAFKA_PROTOCOL=SASL_SSL"),
        ("PLAINTEXT", "SSL", {}, "speaks TLS: write PREFSTREAM_KAFKA_PROTOCOL=SSL"),
        ("PLAINTEXT", "SASL_PLAINTEXT", {}, "asks for a name and a password: write .*PROTOCOL=SASL_PLAINTEXT"),
        ("SASL_PLAINTEXT", "PLAINTEXT", {}, "asks for no name: write PREFSTREAM_KAFKA_PROTOCOL=PLAINTEXT"),
        ("SSL", "SSL", {"certificate_file": "", "key_file": "", "key_password": ""}, "does not take our certificate: .*_FILE"),
        ("SSL", "SASL_SSL", {}, "asks for a name and a password: write .*PROTOCOL=SASL_SSL"),
    ],
)
def test_who_is_not_let_in_is_told_what_to_write(
    fortress: Fortress,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    protocol: str,
    port_of: str,
    others: dict[str, str],
    sentence: str,
) -> None:
    if others.get("ca_file") == "theirs":
        others = {"ca_file": str(Authority(tmp_path).trusted)}
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT_SECONDS", 2.0)
    brokers = Brokers(fortress.address(port_of), security_of(fortress.variables(protocol, **others)))
    before = threading.active_count()
    with pytest.raises(NotLetIn, match=sentence) as refused:
        create_topics(brokers, topic_specs("nobody"))
    assert not any(secret in str(refused.value) for secret in SECRETS)
    assert threading.active_count() == before


@pytest.fixture(scope="module")
def model_url(fortress: Fortress) -> Iterator[str]:
    """A counting engine that speaks TLS, and answers only who has the key."""
    files = fortress.authority.sign("model", "127.0.0.1")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.whole)

    @web.middleware
    async def with_key(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {API_KEY}":
            raise web.HTTPUnauthorized(text='{"error": {"message": "Incorrect API key provided"}}')
        return await handler(request)

    app = make_app(Settings())
    app.middlewares.append(with_key)
    loop, port = asyncio.new_event_loop(), free_port()
    runner = web.AppRunner(app)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(_serve(runner, port, context), loop).result(10)
    yield f"https://127.0.0.1:{port}"
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


async def _serve(runner: web.AppRunner, port: int, context: ssl.SSLContext) -> None:
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()


@pytest.fixture
def flow(fortress: Fortress, namespace: str, tmp_path: Path) -> Iterator[Flow]:
    flow = Flow(fortress.open_servers, namespace, tmp_path, {"native": ("native", 2)})
    yield flow
    flow.close()


def start(flow: Flow, fortress: Fortress, model_url: str, protocol: str, **others: str) -> Worker:
    variables = fortress.variables(protocol) | {"PREFSTREAM_MODEL_API_KEY": API_KEY}
    settings = {name.removeprefix("PREFSTREAM_").lower(): value for name, value in variables.items()}
    settings |= {"bootstrap_servers": fortress.address(protocol), "model_ca_file": str(fortress.authority.trusted)} | others
    return flow.start_worker(model_url, **settings)


@pytest.mark.parametrize("protocol", ["SSL", "SASL_SSL"])
def test_a_worker_behind_tls_and_passwords_loses_nothing(fortress: Fortress, flow: Flow, model_url: str, protocol: str) -> None:
    worker = start(flow, fortress, model_url, protocol)
    worker.await_ready()
    for number in range(30):
        flow.send("native", rating(f"person-{number}"), applied(f"person-{number}"))
    flow.await_applied()
    assert worker.stop() == 0
    flow.assert_accounted()
    assert [secret for secret in SECRETS if secret in worker.log.read_text()] == []


def test_a_worker_with_a_wrong_password_says_so_and_does_not_start(fortress: Fortress, flow: Flow, model_url: str) -> None:
    worker = start(flow, fortress, model_url, "SASL_SSL", kafka_password="wrong")
    assert worker.process.wait(30) == 2
    assert "does not take user 'ada' with this password" in worker.last_words()


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("model_ca_file", "", "its certificate is not trusted: unable to get local issuer certificate"),
        ("model_api_key", "wrong", "the server wants a key: set PREFSTREAM_MODEL_API_KEY"),
    ],
)
def test_a_model_server_that_does_not_fit_is_named_and_nothing_is_dropped(
    fortress: Fortress, flow: Flow, model_url: str, tmp_path: Path, name: str, value: str, sentence: str
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    worker = start(flow, fortress, model_url, "SASL_SSL", **{name: value or str(Authority(theirs).trusted)})
    worker.await_ready()
    flow.send("native", rating("ada"), applied("ada"))
    until("complaint", lambda: sentence in worker.log.read_text(), explain=worker.last_words)
    assert worker.stop() == 0
    start(flow, fortress, model_url, "SASL_SSL")
    flow.await_applied()
