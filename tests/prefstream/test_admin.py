"""What is done about each way in which a topic can differ from its spec."""

from __future__ import annotations

import pytest

from prefstream.admin import Difference, TopicState, differences, refuse
from prefstream.errors import TopicMismatch
from prefstream.topics import TopicSpec


def spec(*, keyed: bool = True) -> TopicSpec:
    return TopicSpec(
        name="p.events",
        caption="",
        writer="",
        readers=(),
        keyed=keyed,
        num_partitions=8,
        replication_factor=1,
        configs={"cleanup.policy": "compact", "segment.ms": "1"},
    )


def state(num_partitions: int = 8, replication_factor: int = 1, configs: dict[str, str] | None = None) -> TopicState:
    wanted = {"cleanup.policy": "compact", "segment.ms": "1"}
    return TopicState(num_partitions, replication_factor, wanted | (configs or {}))


@pytest.mark.parametrize(
    ("keyed", "actual", "expected"),
    [
        (True, None, [("topic", None, "8 partitions, replication 1", "create")]),
        (True, state(), []),
        (True, state(configs={"retention.ms": "9"}), []),
        (True, state(num_partitions=4), [("partitions", "4", "8", "refuse")]),
        (True, state(num_partitions=16), [("partitions", "16", "8", "refuse")]),
        (False, state(num_partitions=4), [("partitions", "4", "8", "change")]),
        (False, state(num_partitions=16), []),
        (True, state(replication_factor=3), [("replication", "3", "1", "refuse")]),
        (True, state(configs={"cleanup.policy": "delete"}), [("cleanup.policy", "delete", "compact", "change")]),
        (True, TopicState(8, 1, {"cleanup.policy": "compact"}), [("segment.ms", None, "1", "change")]),
        (
            True,
            state(num_partitions=4, configs={"segment.ms": "2"}),
            [("partitions", "4", "8", "refuse"), ("segment.ms", "2", "1", "change")],
        ),
    ],
)
def test_differences(keyed: bool, actual: TopicState | None, expected: list[tuple[str, str | None, str, str]]) -> None:
    found = differences(spec(keyed=keyed), actual)
    assert [(one.what, one.actual, one.wanted, one.remedy) for one in found] == expected


def test_a_refusal_says_what_why_and_the_way_on() -> None:
    found = differences(spec(), state(num_partitions=4, replication_factor=3))
    with pytest.raises(TopicMismatch) as refused:
        refuse(found)
    text = str(refused.value)
    assert "p.events: partitions 4, not 8." in text
    assert "`python -m agents.repartition`" in text
    assert "--partitions 4" in text
    assert "--replication-factor 3" in text
    assert not refused.value.retriable


def test_what_can_be_created_or_changed_is_not_refused() -> None:
    refuse([Difference("t", "topic", None, "8", "create"), Difference("t", "segment.ms", "1", "2", "change")])
