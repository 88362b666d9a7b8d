"""Two tenants on one installation, on a real broker: the same user id is two people, and nothing of one reaches the other."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from typer.testing import CliRunner

from prefstream import cli
from prefstream.reader import SummaryReader
from tests.kafka.conftest import StartFlow
from tests.kafka.test_controls import assert_audit_holds
from tests.kafka.worker_process import Engine, Flow, applied, refused, until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

AT = "2026-01-05T20:15:00Z"
PINNED = "Vegetarian."


def rating(user: str, number: int, genre: str, **fields: object) -> bytes:
    item = {"id": str(number), "title": f"{genre} film {number}", "attributes": {"genre": [genre]}}
    document = {"type": "rating", "user": user, "at": AT, "domain": "films", "item": item, "value": 5} | fields
    return json.dumps(document).encode()


def run(flow: Flow, *command: str) -> tuple[int, str]:
    environment = {"PREFSTREAM_BOOTSTRAP_SERVERS": flow.bootstrap_servers, "PREFSTREAM_NAMESPACE": flow.namespace}
    result = CliRunner().invoke(cli.app, [*command], env=environment | {"COLUMNS": "200"})
    return result.exit_code, result.output


def exported(flow: Flow, *tenant: str) -> tuple[dict[str, Any], str]:
    _, output = run(flow, "export", "ada", *tenant)
    return json.loads(output), output


def test_nothing_of_one_tenants_user_reaches_the_other(start_flow: StartFlow, engine: Engine) -> None:
    flow = start_flow({"ratings": ("native", 2), "sales": ("native", 2)})
    sales = f"{flow.namespace}-sales"
    flow.start_worker(engine.url, tenant_sources=f"{sales}=shop").await_ready()
    for number in range(4):
        flow.send("ratings", rating("ada", number, "drama"), applied("ada"), key=b"ada")
        flow.send("ratings", rating("ada", number, "crime", tenant="news"), applied("ada (news)"), key=b"ada")
        flow.send("sales", rating("ada", number, "western"), applied("ada (shop)"), key=b"ada")
    flow.send("sales", b"western, no JSON", refused("undecodable"), key=b"ada")
    flow.send("sales", rating("ada", 9, "western", tenant="news"), refused("invalid"), key=b"ada")
    flow.await_applied()
    for command in (("pin", "ada", PINNED), ("never", "ada", "western")):
        assert run(flow, *command, "--tenant", "news")[0] == 0
    assert run(flow, "opt-out", "ada", "--tenant", "shop")[0] == 0
    flow.send("sales", rating("ada", 10, "western"), applied(), key=b"ada")
    flow.send("ratings", rating("ada", 10, "drama"), applied("ada"), key=b"ada")
    flow.send("ratings", rating("ada", 10, "crime", tenant="news"), applied("ada (news)"), key=b"ada")
    flow.await_applied()
    assert_each_has_their_own(flow)
    until("dead letters", lambda: len(flow.letter_reasons()) == 2)
    assert_audit_holds(flow)
    flow.assert_accounted()
    assert run(flow, "forget", "ada", "--yes")[0] == 0
    assert_only_she_is_forgotten(flow)
    assert_audit_holds(flow)


def assert_only_she_is_forgotten(flow: Flow) -> None:
    with SummaryReader(flow.bootstrap_servers, flow.names.summaries) as reader:
        kept = {tenant: reader.current("ada", tenant) for tenant in ("", "news", "shop")}
    assert {tenant: one.num_events for tenant, one in kept.items() if one} == {"news": 5, "shop": 4}
    assert kept["news"] is not None
    assert kept["news"].pins == (PINNED,)
    letters = exported(flow, "--tenant", "shop")[0]["topics"][flow.names.dead_letters]
    assert b64encode(b"western, no JSON").decode() in [letter["value"].get("value") for letter in letters]


def assert_each_has_their_own(flow: Flow) -> None:
    with SummaryReader(flow.bootstrap_servers, flow.names.summaries) as reader:
        plain, news, shop = (reader.current("ada", tenant) for tenant in ("", "news", "shop"))
        assert reader.current("ada", "nobody") is None
    assert plain is not None
    assert news is not None
    assert shop is not None
    assert [one.tenant for one in (plain, news, shop)] == ["", "news", "shop"]
    assert [one.num_events for one in (plain, news, shop)] == [5, 5, 4]
    assert [one.pins for one in (plain, news, shop)] == [(), (PINNED,), ()]
    words = ("drama", "crime", "western")
    for one, own in zip((plain, news, shop), words, strict=True):
        assert [word in one.text.lower() for word in words] == [word == own for word in words]
    assert "ada (news)" in run(flow, "summary", "ada", "--tenant", "news")[1]
    for tenant, own in zip(((), ("--tenant", "news"), ("--tenant", "shop")), words, strict=True):
        document, output = exported(flow, *tenant)
        said = output.lower() if own != "crime" else output.lower().replace('"subject": "western"', "").replace('"western"', "")
        assert [f"{word} film" in said for word in words] == [word == own for word in words]
        assert (document["user"], document.get("tenant", "")) == ("ada", tenant[1] if tenant else "")
        assert (PINNED in output) is (own == "crime")
        assert len(document["topics"][flow.names.dead_letters]) == (2 if own == "western" else 0)


def num_applied(flow: Flow, user: str) -> int:
    flow.summaries.poll()
    return flow.summaries.events_by_user.get(user, 0)


def send(flow: Flow, tenant: str, numbers: range) -> None:
    for number in numbers:
        user = f"ada ({tenant})" if tenant else "ada"
        flow.send("ratings", rating("ada", number, "drama", tenant=tenant), applied(user), key=b"ada")
    flow.producer.flush()


def test_a_tenant_over_its_budget_waits_through_a_restart_and_catches_up_when_it_has_more(
    start_flow: StartFlow, engine: Engine
) -> None:
    flow = start_flow({"ratings": ("native", 1)})
    settings: dict[str, Any] = {"flush_events": 5, "tenant_tokens_per_day": "shop=2400"}  # a hundred an hour: less than a call
    worker = flow.start_worker(engine.url, **settings)
    worker.await_ready()
    send(flow, "shop", range(5))
    until("first summary", lambda: num_applied(flow, "ada (shop)") == 5)
    send(flow, "shop", range(5, 35))
    send(flow, "", range(20))
    until("the others' summary", lambda: num_applied(flow, "ada") == 20)
    until("deferred user", lambda: worker.metric("prefstream_tenant_deferred_users", tenant="shop") == 1)
    used = worker.metric("prefstream_tenant_budget_used_ratio", tenant="shop")
    assert used > 1
    assert worker.metric("prefstream_tenant_pending_events", tenant="shop") == 30
    assert worker.stop() == 0
    restarted = flow.start_worker(engine.url, **settings)
    restarted.await_ready()
    send(flow, "", range(20, 40))
    until("the others' next summary", lambda: num_applied(flow, "ada") == 40)
    assert num_applied(flow, "ada (shop)") == 5
    assert flow.pending_by_user() == {"ada (shop)": 30}
    assert_audit_holds(flow)
    restarted.kill()
    three_quarters_used = f"shop={int(2400 * used / 0.75)}"
    flow.start_worker(engine.url, **settings | {"tenant_tokens_per_day": three_quarters_used}).await_ready()
    flow.await_applied()
    assert flow.summaries.current["ada (shop)"]["version"] == 2  # of thirty events, where a share has five
    assert_audit_holds(flow)
    flow.assert_accounted()
