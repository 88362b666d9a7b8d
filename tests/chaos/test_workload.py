"""The workload: decided by its seed, of every kind; and what a real worker, killed in the middle, makes of it."""

from __future__ import annotations

import random
import sys
from collections import Counter, defaultdict
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from deploy.kafka.broker import Broker
from prefstream.dead_letters import DeadLetter, DeadLetterReason
from streams.adapters import RawRecord
from streams.adapters.cloudevents import cloudevents
from streams.adapters.native import native
from streams.records import decode_arrival, decode_record
from streams.routing import route
from tests.chaos.exhibits import read_exhibits
from tests.chaos.journal import Fate
from tests.chaos.judge import judge, main
from tests.chaos.judgement import Judgement
from tests.chaos.model import ScriptedModel
from tests.chaos.publications import HOT_SHARE, LEAVERS, Publication, Publications, Source, user_ids
from tests.chaos.workload import Workload
from tests.kafka.worker_process import Worker, until

SOURCES = (
    Source("clicks", "native", 3),
    Source("app", "native", 5),
    Source("cloud", "cloudevents", 2),
    Source("inbox", "native", 4),
)
ADAPTERS = {"native": native, "cloudevents": cloudevents}
NUM_USERS = 50
SEED = 7


def publications(count: int = 20_000, seed: int = SEED) -> list[Publication]:
    return list(islice(Publications(SOURCES, seed, NUM_USERS), count))


def intake_of(publication: Publication) -> tuple[str, list[tuple[str, str]]]:
    """The reason, or the users and ids, that the worker's own intake finds in a record."""
    adapter = ADAPTERS[next(source.adapter for source in SOURCES if source.topic == publication.topic)]
    record = RawRecord(publication.topic, publication.partition, 0, publication.key, publication.value, publication.headers, 0)
    match route(record, adapter(record), "id", 0):
        case DeadLetter(reason=reason):
            return reason, []
        case forwards:
            arrivals = [decode_arrival(forward.value) for forward in forwards]
            return "", [(decode_record(arrival).user, arrival.event_id) for arrival in arrivals]


def test_the_seed_decides_everything() -> None:
    assert publications(3_000) == publications(3_000)
    assert publications(10) != publications(10, seed=SEED + 1)


def test_what_is_intended_is_what_intake_finds() -> None:
    for publication in publications(5_000):
        intended = [(event.user, event.event_id) for event in publication.events]
        assert intake_of(publication) == (publication.reason, intended), publication


def test_every_kind_occurs() -> None:
    sent = publications()
    users = Counter(event.user for publication in sent for event in publication.events)
    # Of the others, one is for a replay, one for an event that was accepted, one for a defect of ours, and one for what a
    # version does not act on: there is nothing left of that.
    others = {"unknown_source", "poison", "unprocessable", "unsupported"}
    assert {publication.reason for publication in sent} == {"", *get_args(DeadLetterReason)} - others
    assert set(users) == {*user_ids(NUM_USERS), *LEAVERS}
    fates = Counter(event.fate for publication in sent for event in publication.events)
    assert min(fates[fate] for fate in get_args(Fate)) > 100
    assert abs(users[user_ids(NUM_USERS)[0]] / users.total() - HOT_SHARE) < 0.03
    assert any(publication.is_aborted for publication in sent)
    assert any(len(publication.events) > 1 for publication in sent)
    assert {(publication.topic, publication.partition) for publication in sent} == {
        (source.topic, partition) for source in SOURCES for partition in range(source.num_partitions)
    }


def test_user_ids_are_different_and_hard_to_take_apart() -> None:
    ids = user_ids(500)
    assert len(set(ids)) == 500
    assert all(any(hard in user for user in ids) for hard in ("\0", "|", "/", " ", '"', "日", "\N{FOX FACE}"))


def test_a_retry_comes_before_its_id_could_be_forgotten() -> None:
    """A worker remembers 256 ids of a user; those of a busy user come again only where their order is known."""
    known: dict[str, dict[str, tuple[int, str, int]]] = defaultdict(dict)
    num_retries = 0
    for publication in publications():
        for user, event_id in [(event.user, event.event_id) for event in publication.events if event.event_id]:
            ids = known[user]
            place = (publication.topic, publication.partition)
            number, *first = ids.setdefault(event_id, (len(ids), *place))
            num_retries += number < len(ids) - 1
            assert len(ids) - number <= 25
            assert user != user_ids(NUM_USERS)[0] or tuple(first) == place
    assert num_retries > 500


def test_titles_say_where_they_were_sent_and_rise_there() -> None:
    last: Counter[tuple[str, str, int]] = Counter()
    seen: set[tuple[str, str]] = set()  # a retry says what the first one said
    for publication in publications(5_000):
        elements = msgspec.json.decode(publication.value or b"") if publication.events else []
        for event in elements if isinstance(elements, list) else [elements]:
            if "item" not in event:
                continue  # a command
            user, title = event["user"], event["item"]["title"]
            place, _, number = title.rpartition("@")[2].rpartition("#")
            if (user, title) not in seen:
                topic, partition = place.split("/")
                assert (topic, int(partition)) == (publication.topic, publication.partition)
                assert int(number) == last[user, topic, int(partition)] + 1
                last[user, topic, int(partition)] += 1
            seen.add((user, title))


@pytest.fixture
def chance() -> random.Random:
    """Randomness whose seed is printed, so that a failure can be played again."""
    seed = random.randrange(1 << 32)
    sys.stdout.write(f"seed {seed}\n")
    return random.Random(seed)


def start_worker(workload: Workload, bootstrap_servers: str, model: ScriptedModel, directory: Path, number: int) -> Worker:
    settings = {
        "bootstrap_servers": bootstrap_servers,
        "namespace": workload.namespace,
        "sources": ",".join(f"{topic}={adapter}" for topic, adapter in workload.adapters.items()),
        "data_directory": directory / "disk",
        "model_url": model.url,
        "flush_events": 5,
        "flush_age_seconds": 1,
        "session_timeout_seconds": 6,
    }
    environment = {f"PREFSTREAM_{name.upper()}": str(value) for name, value in settings.items()}
    return Worker(environment, directory / f"worker-{number}.log")


def await_settled(bootstrap_servers: str, workload: Workload, worker: Worker) -> Judgement:
    """The first judgement in which nothing waits; those on the way, while the worker runs, are clean too."""
    journal = workload.stop()
    judgements: list[Judgement] = []

    def is_settled() -> bool:
        worker.assert_running()
        judgements.append(judge(bootstrap_servers, workload.namespace, workload.sources, journal))
        assert judgements[-1].is_clean, judgements[-1].report()
        return judgements[-1].is_settled

    until("settled judgement", is_settled, explain=lambda: judgements[-1].report())
    assert journal.num_unacknowledged == 0
    counts = judgements[-1].counts
    assert (counts["applied"], counts["dead"]) == (journal.num_events, journal.num_dead)
    assert (counts["filtered"], counts["command"]) == (journal.count("filtered"), journal.count("command"))
    return judgements[-1]


@pytest.mark.timeout(150)
def test_a_worker_killed_in_the_middle_is_judged_clean(
    bootstrap_servers: str, namespace: str, tmp_path: Path, chance: random.Random, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        ScriptedModel(tmp_path) as model,
        Workload(bootstrap_servers, namespace, chance.randrange(1 << 32), events_per_second=150, num_users=200) as workload,
        ExitStack() as workers,
    ):
        worker = start_worker(workload, bootstrap_servers, model, tmp_path, 0)
        workers.callback(worker.kill)
        worker.await_ready()
        workload.start()
        until("some load", lambda: workload.num_sent > 1_000)
        model.behave("hang")  # so that there are calls to be killed in
        until("calls", lambda: model.num_calls("hang"))
        worker.kill()
        model.behave("ok")
        worker = start_worker(workload, bootstrap_servers, model, tmp_path, 1)
        workers.callback(worker.kill)
        until("more load", lambda: workload.num_sent > 2_000)
        worker.await_ready()
        judgement = await_settled(bootstrap_servers, workload, worker)
        assert worker.stop() == 0, worker.last_words()
    assert judgement.counts["duplicate"] > 50
    assert judgement.counts["command"] > 10
    assert judgement.counts["filtered"] > 0  # of 40,000 seeds none has fewer than four
    assert judgement.longest_stall_seconds > 1
    assert main(["--bootstrap-servers", bootstrap_servers, "--namespace", namespace]) == 0
    assert "Clean." in capsys.readouterr().out


@pytest.mark.timeout(150)
def test_it_outlives_its_broker_and_can_be_paused(broker: Broker, namespace: str) -> None:
    with Workload(broker.bootstrap_servers, namespace, SEED, events_per_second=300) as workload:
        workload.start()
        until("a load", lambda: workload.num_sent > 300)
        broker.kill()
        killed = workload.num_sent
        until("a load for nobody", lambda: workload.num_sent > killed + 100)
        workload.pause()
        paused = workload.num_sent
        broker.restart()
        assert workload.num_sent <= paused + 1  # one may have been on its way to the producer
        workload.start()
        until("more load", lambda: workload.num_sent > paused + 300)
        journal = workload.stop()
    assert journal.num_unacknowledged == 0
    assert journal.num_aborted > 0
    exhibits = read_exhibits(broker.bootstrap_servers, namespace, workload.sources)
    assert sorted(record[:3] for record in exhibits.sources) == sorted(tuple(sent.place) for sent in journal.records)
    judgement = judge(broker.bootstrap_servers, namespace, workload.sources, journal)
    assert judgement.crimes == {}
    assert judgement.counts["pending"] == len(journal.records)
