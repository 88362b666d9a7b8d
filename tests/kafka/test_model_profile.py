"""A worker with a profile of its user's own: two servers under another name, and the model's own tokenizer."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from tests.kafka.conftest import StartFlow
from tests.kafka.worker_process import Engine, applied

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

PROFILE = """
caption = "a counting engine under another name"
engine = "counting"
dialect = "plain"
served_name = "our-model"
max_model_len = 4_000
timeout_seconds = 60
[sampling]
temperature = 0.3
"""
PEOPLE = [f"person-{number}" for number in range(30)]


def rating(user: str) -> bytes:
    item = {"id": "1", "title": "Fargo (1996)", "attributes": {"genre": ["crime", "drama"]}}
    event = {"type": "rating", "user": user, "at": "2026-01-05T20:15:00Z", "domain": "films", "item": item, "value": 5}
    return json.dumps(event).encode()


def test_a_profile_of_ones_own_is_asked_for_and_named_in_every_summary(
    start_flow: StartFlow, tmp_path: Path, tokenizer_file: Path
) -> None:
    profile = tmp_path / "ours.toml"
    profile.write_text(PROFILE)
    flow = start_flow({"native": ("native", 2)})
    with Engine(tmp_path, model="our-model") as one, Engine(tmp_path, model="our-model") as two:
        worker = flow.start_worker(
            f"{one.url},{two.url}", model_profile=profile, model_tokenizer=tokenizer_file, log_level="DEBUG"
        )
        for user in PEOPLE:
            flow.send("native", rating(user), applied(user))
        flow.await_applied()
        assert worker.stop() == 0
    flow.assert_accounted()
    written = flow.summaries.current.values()
    assert {(summary["model"]["name"], summary["model"]["profile"]) for summary in written} == {("our-model", "ours")}
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    counted = {len(tokenizer.encode(summary["text"], add_special_tokens=False)) for summary in written}
    assert {summary["tokens"] for summary in written} == counted
    lines = worker.log.read_text().splitlines()
    assert {found[1] for line in lines if (found := re.search(r"call ended .*replica=(\d)", line))} == {"1", "2"}
    (started,) = [line for line in lines if "worker started" in line]
    told = f"model=our-model .*profile=ours replicas=\\['{one.url}', '{two.url}'\\] .*tokens={tokenizer_file}"
    assert re.search(told, started), started
