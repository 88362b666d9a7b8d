"""The worker's own order of things: what is durable before what, where reading begins, and how it lets go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from faust.exceptions import ConsumerNotStarted
from faust.types import TP
from prometheus_client import generate_latest

from agents.app import Cluster, Worker
from agents.model import read_model
from agents.schemas import no_schemas
from agents.settings import Settings
from agents.writer import Lane, NotDurable
from model_server.profiles import FOLDER
from prefstream.sources import UNMARKED, Standing
from prefstream.topics import TopicNames
from streams.adapters.native import native
from streams.evolution.records import Prompt, Turn, Unavailable
from streams.ledger import LEDGER_KEY, Ledger, decode_ledger
from tests.agents.scripted import KEPT_AN_HOUR, NAMES, Opened, ScriptedProducer, open_partition, others_run

EVENTS = TP(NAMES.events, 0)


@pytest.fixture
async def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Opened]:
    monkeypatch.setattr("agents.writer._LINGER_SECONDS", 0)
    opened = await open_partition(tmp_path, monkeypatch)
    opened.partitions.restore()
    yield opened
    await opened.close()


def worker_of(directory: Path, **settings: object) -> Worker:
    """A worker with these settings that has never met a broker."""
    read = Settings.model_validate({"namespace": "t", "data_directory": directory} | settings)
    names = TopicNames("t")
    cluster = Cluster(
        1,
        {topic: topic for topic in (names.inbox, names.events)},
        dict.fromkeys((names.pending, names.history, names.summaries), KEPT_AN_HOUR),
    )
    return Worker(read, cluster, {names.inbox: native}, read_model(read), no_schemas())


@pytest.fixture
def worker(opened: Opened, tmp_path: Path) -> Worker:
    """A worker that owns partition 0 and has never met a broker."""
    worker = worker_of(tmp_path)
    worker.partitions = opened.partitions
    return worker


def counted_in_the_log(opened: Opened) -> list[int]:
    """How many events each ledger row that was sent counts."""
    rows = opened.producer.log[NAMES.pending, 0]
    return [decode_ledger(value).position for key, value in rows if key == LEDGER_KEY and value is not None]


async def test_a_flush_writes_the_ledger_after_the_letters_it_counts(
    worker: Worker, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = asyncio.Event()
    monkeypatch.setattr(worker.outbox, "flush", letters.wait)
    opened.owned.count(0, "dead")
    flushing = asyncio.create_task(worker.flush())
    await others_run()
    assert (counted_in_the_log(opened), flushing.done()) == ([], False)
    opened.owned.count(1, "dead")  # its letter is not waited for
    letters.set()
    await asyncio.wait_for(flushing, 5)
    assert counted_in_the_log(opened) == [1]


@pytest.mark.parametrize("num_turns", range(8))
async def test_of_two_flushes_the_one_that_counted_less_never_writes_last(
    worker: Worker, opened: Opened, monkeypatch: pytest.MonkeyPatch, num_turns: int
) -> None:
    """That of a commit and that of a drain: the outbox may be found durable by the second before the first is woken."""
    lane = Lane(producer := ScriptedProducer(is_held=True), "t.events", 0)
    monkeypatch.setattr(worker.outbox, "flush", lane.flushed)
    lane.put((b"k", b"v"))
    batch = await producer.sent.get()
    opened.owned.count(0, "accepted")
    first = asyncio.create_task(worker.flush())
    await others_run()
    opened.owned.count(1, "accepted")
    batch.acknowledge(0)
    for _ in range(num_turns):
        await asyncio.sleep(0)
    await asyncio.gather(first, asyncio.create_task(worker.flush()))
    await lane.close()
    assert counted_in_the_log(opened) == [1, 2]


@pytest.mark.parametrize(
    ("source", "committed", "num_counted", "account"),
    [
        (EVENTS, 9, 2, 2),
        (EVENTS, None, 2, 2),
        (EVENTS, 9, 0, 0),
        (EVENTS, None, 0, None),
        (TP(NAMES.events, 1), 9, 2, None),
        (TP(NAMES.inbox, 0), 9, 2, None),
    ],
    ids=["counted", "nothing committed", "its log was lost", "nothing yet", "not owned", "a source"],
)
async def test_the_ledger_says_where_it_stands_and_of_which_topic(
    worker: Worker, opened: Opened, source: TP, committed: int | None, num_counted: int, account: int | None
) -> None:
    opened.owned.ledger = Ledger(topic_id="id-1")
    for offset in range(num_counted):
        opened.owned.count(offset, "dead")
    ends = {"beginning": 0, "end": 20}
    found = worker.by_ledger(
        Standing(topic=source.topic, topic_id="id-2", partition=source.partition, committed=committed, mark=UNMARKED, **ends)
    )
    assert (found and (found.committed, found.mark.topic_id)) == (None if account is None else (account, "id-1"))


async def test_a_ledger_names_the_topic_it_counts(worker: Worker, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker.outbox, "flush", others_run)
    opened.owned.count(0, "dead")
    await worker.flush()
    [written] = [value for key, value in opened.producer.log[NAMES.pending, 0] if key == LEDGER_KEY and value is not None]
    assert decode_ledger(written).topic_id == NAMES.events  # as the fixture has it


def test_the_ends_of_lives_are_finished_before_anything_of_the_next_ones(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first version of a new life would hide that the old one's are still there."""
    finished: list[str] = []
    monkeypatch.setattr(worker.obey, "finish", lambda _: finished.append("commands"))
    monkeypatch.setattr(worker.forget, "finish", lambda _: finished.append("ends"))
    worker.restore_partitions()
    assert finished == ["ends", "commands"]


def said(calls: list[str], name: str) -> Callable[..., Coroutine[Any, Any, None]]:
    """A coroutine function that notes that it was called."""

    async def say(*arguments: object) -> None:
        calls.append(name)

    return say


@pytest.fixture
def calls(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """In which order the parts of the worker are told to end."""
    calls: list[str] = []
    consumer: Any = SimpleNamespace(
        stop_flow=lambda: calls.append("stop flow"), commit=said(calls, "commit"), assignment=lambda: {EVENTS}
    )
    monkeypatch.setattr(worker, "_consumer", consumer)

    def refresh(*, also_fresh: bool) -> None:
        calls.append("refresh stores")

    monkeypatch.setattr(worker, "partitions", SimpleNamespace(close=said(calls, "close partitions"), refresh=refresh))
    monkeypatch.setattr(worker.dispatch, "drain", said(calls, "drain"))
    monkeypatch.setattr(worker.dispatch, "cancel", said(calls, "cancel"))
    monkeypatch.setattr(worker.outbox, "close", said(calls, "close outbox"))
    monkeypatch.setattr(worker, "flush", said(calls, "flush"))
    monkeypatch.setattr("agents.faust_fixes.FixedApp.on_stop", said(calls, "Faust stops"))
    return calls


IN_ORDER = [
    "stop flow",
    "drain",
    "refresh stores",
    "flush",
    "commit",
    "cancel",
    "close partitions",
    "Faust stops",
    "close outbox",
]


async def test_a_stop_drains_flushes_commits_and_only_then_lets_go(worker: Worker, calls: list[str]) -> None:
    worker.progress.start(EVENTS, 0)
    await worker.on_stop()
    assert calls == IN_ORDER
    assert worker.progress.position(EVENTS) is None


async def test_a_stop_goes_on_when_the_partitions_were_lost_meanwhile(
    worker: Worker, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def flush() -> None:
        raise NotDurable

    monkeypatch.setattr(worker, "flush", flush)
    await worker.on_stop()
    assert calls == [call for call in IN_ORDER if call != "flush"]


async def test_a_worker_that_is_stopped_before_it_could_ask_the_group_stops_in_order(
    worker: Worker, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def assignment() -> set[TP]:
        raise ConsumerNotStarted

    monkeypatch.setattr(worker.consumer, "assignment", assignment)
    await worker.on_stop()
    assert calls == IN_ORDER


async def test_a_worker_says_why_it_is_not_ready(worker: Worker) -> None:
    assert worker.not_ready() == ["the tables are not recovered"]
    worker.on_rebalance_start()
    assert worker.not_ready() == ["the group rebalances", "the tables are not recovered"]
    assert worker.metrics.registry.get_sample_value("prefstream_ready") == 0
    worker.tables.on_actives_ready()
    worker.on_rebalance_end()
    assert worker.not_ready() == []
    assert worker.metrics.registry.get_sample_value("prefstream_ready") == 1


async def test_a_rebalance_that_begins_anew_is_one(worker: Worker) -> None:
    for _ in range(3):
        worker.on_rebalance_start()
    worker.on_rebalance_end()
    assert worker.metrics.registry.get_sample_value("prefstream_rebalance_seconds_count") == 1


async def test_what_waits_is_told_only_when_it_is_known(worker: Worker) -> None:
    def told(name: str) -> float | None:
        return worker.metrics.registry.get_sample_value(f"prefstream_{name}")

    worker.on_rebalance_start()
    assert (told("pending_oldest_age_seconds"), told("owned_partitions")) == (None, None)
    worker.tables.on_actives_ready()
    worker.on_rebalance_end()
    assert (told("pending_oldest_age_seconds"), told("owned_partitions")) == (0.0, 1.0)


async def test_a_worker_tells_of_its_process_and_its_prices(tmp_path: Path) -> None:
    registry = worker_of(tmp_path, prices={"prompt": 0.4}).metrics.registry
    assert registry.get_sample_value("prefstream_token_prices", {"tokens": "prompt"}) == 0.4
    assert registry.get_sample_value("process_resident_memory_bytes")
    assert registry.get_sample_value("process_open_fds")


async def test_calls_end_before_ownership_does(worker: Worker, calls: list[str]) -> None:
    await worker.release_partitions()
    assert calls == ["cancel", "close partitions"]


async def test_offsets_advance_only_when_the_agents_say_so(worker: Worker) -> None:
    assert {channel.acks for agent in worker.agents.values() for channel in [agent.channel]} == {False}


async def test_each_server_gets_what_the_profile_says(tmp_path: Path) -> None:
    worker = worker_of(tmp_path, model_profile="smollm2-135m-cpu", model_url="http://a:1,http://b:1")
    assert [(one.number, one.capacity) for one in worker.client.standings()] == [(1, 40), (2, 40)]


async def test_a_call_is_cut_off_when_the_profile_says(tmp_path: Path) -> None:
    profile = tmp_path / "hasty.toml"
    profile.write_text((FOLDER / "counting.toml").read_text().replace("timeout_seconds = 60", "timeout_seconds = 1"))
    never = asyncio.Event()

    async def complete(request: web.Request) -> web.Response:
        await never.wait()
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/chat/completions", complete)
    async with TestServer(app) as server:
        worker = worker_of(tmp_path, model_profile=str(profile), model_url=f"http://{server.host}:{server.port}")
        async with worker.client:
            result = await worker.client.evolve(Prompt((Turn("user", "?"),), max_tokens=9), request_id="call")
        never.set()
    assert isinstance(result, Unavailable)
    assert result.reason == "timeout"


async def test_every_call_asks_for_the_profiles_model(tmp_path: Path) -> None:
    """Of each of two servers, in turn, in the profile's way."""
    requests: list[dict[str, object]] = []

    async def complete(request: web.Request) -> web.Response:
        requests.append({"host": request.host} | await request.json())
        return web.json_response({"choices": [{"message": {"content": "Likes war."}, "finish_reason": "stop"}]})

    app = web.Application()
    app.router.add_post("/v1/chat/completions", complete)
    async with TestServer(app) as one, TestServer(app) as two:
        hosts = {f"{server.host}:{server.port}" for server in (one, two)}
        worker = worker_of(tmp_path, model_profile="smollm2-135m-cpu", model_url=",".join(f"http://{host}" for host in hosts))
        async with worker.client:
            for number in range(2):
                await worker.client.evolve(Prompt((Turn("user", "?"),), max_tokens=9), request_id=f"call-{number}")
    assert {request["host"] for request in requests} == hosts
    profile = worker.model.profile
    asked = (profile.served_name, profile.sampling.temperature)
    assert {(request["model"], request["temperature"]) for request in requests} == {asked} != {("counting", 0.0)}


async def test_a_topic_that_waits_for_a_schema_is_not_fetched(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "intake", SimpleNamespace(waiting_topics={"plays"}))
    assert worker.closed_topics() == {"plays"}


def test_each_topic_that_is_read_begins_with_nothing_expired(tmp_path: Path) -> None:
    """What is not there before the first record expires does not rise with it, for Prometheus."""
    shown = generate_latest(worker_of(tmp_path).metrics.registry).decode()
    assert 'prefstream_expired_records_total{topic="t.inbox"} 0.0' in shown
    assert 'prefstream_expired_records_total{topic="t.events"} 0.0' in shown
    assert 'prefstream_source_records_total{topic="t.inbox"} 0.0' in shown
    assert 'prefstream_source_records_total{topic="t.events"}' not in shown


def test_that_the_broker_is_away_is_measured(worker: Worker) -> None:
    """Nothing else tells it: what would stall waits for the broker, and is no stall."""
    assert worker.metrics.registry.get_sample_value("prefstream_broker_away") == 0
    worker.topic_watch.is_answered = False
    assert worker.metrics.registry.get_sample_value("prefstream_broker_away") == 1
