"""Two tenants on one installation, on a real broker: the same user id is two people, and nothing of one reaches the other."""

from __future__ import annotations

import json
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
