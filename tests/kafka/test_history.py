"""The history on a real broker, as workers write it: what the command line makes of it, for each user alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from kafka import KafkaProducer
from msgspec.structs import replace
from typer.testing import CliRunner

from prefstream import cli
from prefstream.admin import create_topics
from prefstream.history import encode_version, version_of
from prefstream.history_reader import read_history
from prefstream.summaries import Summary, encode_summary
from prefstream.tenants import key_of
from prefstream.topics import OWNER_KEY, TopicNames, topic_specs
from streams.keys import murmur2_partition, version_key

pytestmark = pytest.mark.kafka

AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)
FIRST = Summary(user="ada", version=1, text="Loves war.", reason="size", updated_at=AT, num_events=20, tokens=4)
NUM_PARTITIONS = 3


class Written:
    """The topics of a namespace, and what workers and people find there."""

    def __init__(self, bootstrap_servers: str, namespace: str) -> None:
        self.names, self._bootstrap_servers = TopicNames(namespace), bootstrap_servers
        create_topics(bootstrap_servers, topic_specs(namespace, NUM_PARTITIONS))
        self._producer: Any = KafkaProducer(bootstrap_servers=bootstrap_servers)
        for topic in (self.names.history, self.names.summaries):
            for number in range(NUM_PARTITIONS):
                self._producer.send(topic, key=OWNER_KEY, value=b"owner", partition=number)

    def keep(self, summary: Summary, command: str = "") -> None:
        """Write the row of a version."""
        user = key_of(summary.tenant, summary.user)
        key, value = version_key(user, summary.version), encode_version(version_of(summary, command))
        partition = murmur2_partition(user, NUM_PARTITIONS)
        self._producer.send(self.names.history, key=key, value=value, partition=partition).get(10)

    def publish(self, summary: Summary, command: str = "") -> None:
        """Write a version as a worker does: its row, then the summary."""
        self.keep(summary, command)
        key = key_of(summary.tenant, summary.user)
        self._producer.send(self.names.summaries, key=key, value=encode_summary(summary)).get(10)

    def erase(self, user: str) -> None:
        self._producer.send(self.names.summaries, key=user.encode(), value=None).get(10)

    def run(self, *command: str) -> tuple[int, str]:
        environment = {"PREFSTREAM_BOOTSTRAP_SERVERS": self._bootstrap_servers, "PREFSTREAM_NAMESPACE": self.names.namespace}
        result = CliRunner().invoke(cli.app, command, env=environment | {"COLUMNS": "100"})
        return result.exit_code, result.output

    def close(self) -> None:
        self._producer.close()


@pytest.fixture
def written(bootstrap_servers: str, namespace: str) -> Iterator[Written]:
    written = Written(bootstrap_servers, namespace)
    yield written
    written.close()


def test_versions_are_listed_shown_and_compared(written: Written, bootstrap_servers: str) -> None:
    written.publish(FIRST)
    written.publish(replace(FIRST, version=2, text="Loves peace.", reason="control"), "edit")
    written.publish(replace(FIRST, version=3, text="Loves peace. Likes drama.", num_events=40, num_new_events=20))
    written.keep(replace(FIRST, version=4, text="Never published."))  # by a worker that was killed
    written.publish(replace(FIRST, tenant="shop", text="Somebody else."))
    exit_code, listed = written.run("history", "ada")
    assert exit_code == 0
    assert [line.split()[0] for line in listed.splitlines()] == ["version", "3", "2", "1"]
    assert ["edit" in line for line in listed.splitlines()] == [False, False, True, False]
    _, document = written.run("history", "ada", "--json")
    assert [one["text"] for one in json.loads(document)] == ["Loves war.", "Loves peace.", "Loves peace. Likes drama."]
    assert "Loves war." in written.run("history", "ada", "--version", "1")[1]
    assert "Loves peace. {+Likes drama.+}" in written.run("diff", "ada")[1]
    assert "Loves [-war.-] {+peace. Likes drama.+}" in written.run("diff", "ada", "1")[1]
    assert "Loves [-peace.-] {+war.+}" in written.run("diff", "ada", "2", "1")[1]
    found = read_history(bootstrap_servers, "ada", "shop", namespace=written.names.namespace)
    assert [one.text for one in found] == ["Somebody else."]


def test_what_cannot_be_shown_is_said(written: Written) -> None:
    written.publish(FIRST)
    assert written.run("history", "bob")[0] == 1
    exit_code, said = written.run("history", "ada", "--version", "9")
    assert (exit_code, "version 9 is not kept: there are 1 to 1." in said) == (1, True)
    exit_code, said = written.run("diff", "ada")
    assert (exit_code, "version 1 is the only one" in said) == (1, True)
    written.erase("ada")
    exit_code, said = written.run("history", "ada")
    assert (exit_code, "no summary of 'ada'" in said) == (1, True)
