"""Every query of every panel is answered by a real Prometheus that scraped a worker at work."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from deploy.grafana.boards import Query
from deploy.grafana.generate import BOARDS
from deploy.prometheus.debian import PrometheusUnavailable
from deploy.prometheus.server import Prometheus
from tests.kafka.conftest import StartFlow
from tests.kafka.worker_process import Engine, Flow, applied, refused, until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

USERS = ("ada", "bob", "cyd")
AT = "2026-01-05T20:15:00Z"
WAR = {"id": "1", "title": "Dunkirk", "attributes": {"genre": ["war"]}}
MUSICAL = {"id": "2", "title": "Grease", "attributes": {"genre": ["musical"]}}

# What did not happen in this run: a panel without it is empty, and should be.
NOTHING_OF_THE_KIND = {
    "flow: Recovery: {{instance}} seconds",
    "model: Prompts cut to fit: {{part}}",
    "model: Saved by asking again: {{reason}}",
    "quality: Events that say nothing: {{topic}}",
}
QUERIES = {
    f"{board.name}: {panel.title}: {query.legend}": query
    for board in BOARDS
    for panel in board.panels
    for query in panel.queries
}


def send_round(flow: Flow, number: int) -> None:
    """Of each user a film loved, one hated, a choice between the two, and a post with an address; a record nobody can read."""
    for user in USERS:
        common = {"user": user, "at": AT, "domain": "films"}
        for event in (
            common | {"type": "rating", "item": WAR, "value": 5},
            common | {"type": "rating", "item": MUSICAL, "value": 1},
            common | {"type": "choice", "chosen": WAR, "rejected": [MUSICAL]},
            common | {"type": "post", "text": f"write to me{number}@example.org about war films"},
        ):
            flow.send("native", json.dumps(event).encode(), applied(user))
    flow.send("native", b"\xff", refused("undecodable"))


@pytest.fixture(scope="module")
def prometheus(start_flow: StartFlow, engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    flow = start_flow({"native": ("native", 1)})
    worker = flow.start_worker(engine.url, prices="prompt=0.4,cached=0.04,completion=1.6")
    worker.await_ready()
    try:
        started = Prometheus.start(tmp_path_factory.mktemp("prometheus"), {"prefstream": [f"127.0.0.1:{worker.port}"]})
    except PrometheusUnavailable as why:
        pytest.skip(str(why))
    with started:
        until("scraped worker", lambda: started.query("prefstream_ready == 1"))
        for number in range(3):
            send_round(flow, number)
            flow.await_applied()
        done = (
            f"prefstream_applied_events_total == {3 * 4 * len(USERS)} and on (instance) prefstream_commits_total > 2 "
            "and on (instance) prefstream_pending_events == 0"
        )
        until("scrape of all that was done", lambda: started.query(done))
        # Rules are evaluated after a scrape: what they recorded may be of the one before.
        until("recorded rule", lambda: started.query("job:prefstream_told_choices:ratio_increase6h"))
        until("recorded rest", lambda: started.query("job:prefstream_pending_oldest_age_seconds:max == 0"))
        yield started


def asked(query: Query) -> str:
    """As Grafana would ask it."""
    return query.expression.replace("$job", ".*").replace("$__rate_interval", "2m")


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_has_an_answer(prometheus: Prometheus, name: str) -> None:
    assert bool(prometheus.query(asked(QUERIES[name]))) == (name not in NOTHING_OF_THE_KIND)


def value_of(prometheus: Prometheus, name: str) -> float:
    [sample] = prometheus.query(asked(QUERIES[name]))
    return float(sample["value"][1])


def test_what_the_numbers_say_is_so(prometheus: Prometheus) -> None:
    assert value_of(prometheus, "flow: Unaccounted events: {{job}}") == 0
    assert value_of(prometheus, "flow: Pending: events") == 0
    assert value_of(prometheus, "flow: Oldest event: {{job}}") == 0
    assert value_of(prometheus, "quality: Foretold: 6 h") == 1
    assert value_of(prometheus, "model: A thousand events: {{job}}") > 0


def test_nobody_is_woken_by_a_worker_at_work(prometheus: Prometheus) -> None:
    assert prometheus.alerts() == {}
