"""Topics in the formats of other systems: a worker takes them as they are, and the audit finds every record again."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from prefstream import cli
from prefstream.audit import Audit
from tests.kafka.conftest import StartFlow
from tests.kafka.worker_process import Engine, Flow, applied, refused, until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

SAMPLES = Path(__file__).parents[1] / "streams" / "adapters" / "samples"


def send_sample(flow: Flow, source: str, name: str) -> int:
    """Publish each line of a sample; returns how many of them make no event."""
    num_filtered = 0
    for value, made in zip((SAMPLES / name).read_bytes().splitlines(), sample_events(name), strict=True):
        flow.send(source, value, applied(*(event["user"] for event in made)))
        num_filtered += not made
    return num_filtered


def sample_events(name: str) -> list[list[dict[str, str]]]:
    return [json.loads(line) for line in (SAMPLES / f"{name}.events").read_text().splitlines()]


def audited(flow: Flow) -> Audit:
    environment = {"PREFSTREAM_BOOTSTRAP_SERVERS": flow.bootstrap_servers, "PREFSTREAM_NAMESPACE": flow.namespace}
    return msgspec.json.decode(CliRunner().invoke(cli.app, ["audit", "--json"], env=environment).output, type=Audit)


def test_samples_of_every_format_are_applied_filtered_or_refused_and_all_found_again(
    start_flow: StartFlow, engine: Engine
) -> None:
    flow = start_flow({"calls": ("segment", 2), "enriched": ("snowplow", 1), "rows": ("ga4", 3)})
    worker = flow.start_worker(engine.url)
    worker.await_ready()
    files = {"calls": ["segment.jsonl"], "enriched": ["snowplow.tsv", "snowplow.jsonl"], "rows": ["ga4.jsonl"]}
    filtered = {source: sum(send_sample(flow, source, name) for name in names) for source, names in files.items()}
    flow.send("calls", b'{"type": "track", "event": "Product Viewed", "userId": "u-2041"}', refused("invalid"))
    flow.await_applied()
    until("all collected", lambda: sum(account.filtered for account in audited(flow).partitions) == sum(filtered.values()))
    flow.assert_accounted()
    for source, count in filtered.items():
        assert worker.metric("prefstream_filtered_records_total", topic=f"{flow.namespace}-{source}") == count
    worker.kill()
    flow.start_worker(engine.url).await_ready()
    found = audited(flow)
    assert (found.verdict, found.findings) == ("holds", ())
    assert sum(source.met for source in found.sources) == len(flow.ledger.fates)
    assert found.sentence.endswith(f"; {sum(filtered.values())} filtered.")
