"""The gates close when the memory for waiting events is full, intake's first, say so once, and open by themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog
from aiokafka.errors import KafkaTimeoutError
from faust.types import TP

from agents.gate import Gates
from agents.lag import Lag
from agents.metrics import Metrics
from agents.progress import Progress
from prefstream.events import Click, Item
from streams.backpressure import EVENT_BYTES, ID_BYTES, USER_BYTES
from streams.failures import Failures
from streams.pending import Known
from tests.agents.scripted import NAMES, Opened, Stopped, arrival_of, open_partition, stops_recorded

SOURCES = {"clicks", "t.inbox"}
# Eighteen users with an event each, and half of another one, are exactly the ordinary two thirds.
MAX_BYTES = int(18.5 * (USER_BYTES + EVENT_BYTES) * 3 / 2)
CLICK = Click(user="ada", at=datetime(2026, 1, 5, 20, 15, tzinfo=UTC), item=Item(id="1"))


@pytest.fixture
async def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Opened]:
    opened = await open_partition(tmp_path, monkeypatch)
    yield opened
    await opened.close()


Closed = tuple[set[str], dict[str, float | None]]


class Watched:
    """The gates of one open partition, and how many of its events are still on the keyed topic."""

    def __init__(self, opened: Opened, tenants: Mapping[str, str] | None = None) -> None:
        self.index = opened.owned.index
        self.metrics = Metrics()
        self.unread: dict[str, int] = {}
        self.gates = Gates(opened.partitions, SOURCES, NAMES.events, MAX_BYTES, lambda: self.unread, self.metrics, tenants)
        self.num_stored = 0

    def wait(self, users: Iterable[bytes]) -> None:
        """One more event of each of these users waits."""
        for user in users:
            offset = self.num_stored = self.num_stored + 1
            self.index.admit(user, offset, arrival_of(CLICK, offset), Known())

    def closed(self) -> Closed:
        """The closed topics, and what the metrics say."""
        self.gates.look()
        topics = set(self.gates.closed_topics())
        gauges = {
            gate: self.metrics.registry.get_sample_value("prefstream_gate_closed", {"gate": gate})
            for gate in ("intake", "collect")
        }
        return topics, gauges


OPEN: Closed = (set(), {"intake": 0, "collect": 0})
INTAKE_CLOSED: Closed = (SOURCES, {"intake": 1, "collect": 0})
BOTH_CLOSED: Closed = (SOURCES | {NAMES.events}, {"intake": 1, "collect": 1})


async def test_intake_closes_first_then_collect_and_both_open_again(opened: Opened) -> None:
    one = Watched(opened)
    assert one.closed() == OPEN
    one.wait(b"%d" % n for n in range(18))
    assert one.closed() == OPEN
    one.wait([b"18"])
    assert one.closed() == INTAKE_CLOSED
    one.wait(b"%d" % n for n in range(19, 23))
    assert one.closed() == INTAKE_CLOSED
    one.wait([b"23"])
    assert one.closed() == BOTH_CLOSED
    for num_left, expected in ((19, BOTH_CLOSED), (18, INTAKE_CLOSED), (15, INTAKE_CLOSED), (14, OPEN)):
        for n in range(num_left, 24):
            one.index.covered(b"%d" % n, one.num_stored, 0, Failures())
        assert one.closed() == expected, num_left


async def test_a_gate_says_once_that_it_closes_and_once_that_it_opens(opened: Opened) -> None:
    one = Watched(opened)
    with structlog.testing.capture_logs() as said:
        for _ in range(3):
            one.closed()
        one.wait(b"%d" % n for n in range(20))
        for _ in range(3):
            one.closed()
        for n in range(20):
            one.index.covered(b"%d" % n, one.num_stored, 0, Failures())
        for _ in range(3):
            one.closed()
    assert [(line["log_level"], line["event"], line["gate"]) for line in said] == [
        ("warning", "a gate closed: what comes waits on its topics", "intake"),
        ("info", "a gate opened", "intake"),
    ]
    assert {"full": "108%", "uncollected_events": 0, "full_of_hot_users": "0%"}.items() <= said[0].items()


async def test_intake_also_closes_on_what_waits_on_the_keyed_topic(opened: Opened) -> None:
    one = Watched(opened)
    just_full = MAX_BYTES * 2 // 3 // (EVENT_BYTES + ID_BYTES)
    one.unread = {"clicks": 10**9, NAMES.events: just_full}
    assert one.closed() == OPEN
    one.unread[NAMES.events] = just_full + 1
    assert one.closed() == INTAKE_CLOSED
    one.unread = {}
    assert one.closed() == OPEN


async def test_a_hot_user_alone_closes_nothing_until_its_own_part_is_full(opened: Opened) -> None:
    one = Watched(opened)
    own_part = MAX_BYTES // 3 // EVENT_BYTES
    one.wait([b"hot"] * (30 + own_part - 1))  # ten full calls of three events are ordinary
    assert one.closed() == OPEN
    one.wait([b"hot"] * 2)
    assert one.closed() == INTAKE_CLOSED


async def test_what_hot_users_have_left_does_not_keep_shut_what_others_closed(opened: Opened) -> None:
    one = Watched(opened)
    one.wait([b"hot"] * (30 + int(MAX_BYTES / 3 / EVENT_BYTES * 0.9)))
    assert one.closed() == OPEN
    one.wait(b"%d" % n for n in range(20))
    assert one.closed() == INTAKE_CLOSED
    for n in range(20):
        one.index.covered(b"%d" % n, one.num_stored, 0, Failures())
    assert one.closed() == OPEN


async def lag_of(ends: Mapping[TP, int], **committed: int | None) -> dict[str, int]:
    """What is unread on partitions 0 of these topics, read from these offsets on."""
    progress = Progress()
    for topic, offset in committed.items():
        progress.start((topic, 0), offset)

    async def ask(sources: Iterable[TP]) -> Mapping[TP, int]:
        return {source: ends[source] for source in sources if source in ends}

    lag = Lag(progress, ask)
    await lag.look()
    return lag.num_unread()


@pytest.mark.parametrize(("end", "committed", "unread"), [(10, 4, 6), (10, 10, 0), (10, None, 10), (10, 12, 0), (0, None, 0)])
async def test_unread_is_what_lies_between_the_position_and_the_end(end: int, committed: int | None, unread: int) -> None:
    assert await lag_of({TP("clicks", 0): end}, clicks=committed) == {"clicks": unread}


async def test_partitions_of_a_topic_are_added_and_read_records_are_gone() -> None:
    progress = Progress()
    for number in (0, 1):
        progress.start(("clicks", number), 4)

    async def ask(sources: Iterable[TP]) -> Mapping[TP, int]:
        return {source: 10 + source.partition for source in sources}

    lag = Lag(progress, ask)
    assert lag.num_unread() == {}
    await lag.look()
    assert lag.num_unread() == {"clicks": 13}
    progress.done(("clicks", 0), 4)
    assert lag.num_unread() == {"clicks": 12}
    progress.stop([("clicks", 1)])
    assert lag.num_unread() == {"clicks": 5}


async def test_a_broker_that_does_not_answer_leaves_the_lag_unknown() -> None:
    progress, answers = Progress(), [{TP("clicks", 0): 9}, None]
    progress.start(("clicks", 0), 4)

    async def ask(sources: Iterable[TP]) -> Mapping[TP, int]:
        answer = answers.pop(0)
        if answer is None:
            raise KafkaTimeoutError
        return answer

    lag = Lag(progress, ask)
    await lag.look()
    assert lag.num_unread() == {"clicks": 5}
    await lag.look()
    assert lag.num_unread() == {}


async def test_a_bug_is_not_asked_about_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    stops, progress = stops_recorded(monkeypatch, "agents.failstop"), Progress()
    monkeypatch.setattr("agents.lag._ASK_SECONDS", 0)
    progress.start(("clicks", 0), 4)

    async def ask(sources: Iterable[TP]) -> Mapping[TP, int]:
        raise ZeroDivisionError("a bug")

    with pytest.raises(Stopped):
        await Lag(progress, ask).run()
    assert stops == ["looking up the lag met something unexpected: a bug"]


async def test_what_waits_of_a_tenant_with_its_own_topics_closes_them_alone(opened: Opened) -> None:
    """Its budget may be used up for days: half of the memory is for such tenants, and the other half for the rest."""
    one = Watched(opened, {"clicks": "shop"})
    one.wait(b"shop\xff%d" % n for n in range(9))
    assert one.closed()[0] == set()
    one.wait([b"shop\xff9"])
    assert one.closed() == ({"clicks"}, OPEN[1])
    one.wait(b"%d" % n for n in range(8))
    assert one.closed() == ({"clicks"}, OPEN[1])
    assert one.metrics.registry.get_sample_value("prefstream_tenant_gate_closed", {"tenant": "shop"}) == 1
    for n in range(3):
        one.index.covered(b"shop\xff%d" % n, one.num_stored, 0, Failures())
    assert one.closed() == OPEN


async def test_who_shares_a_topic_waits_with_those_who_share_it(opened: Opened) -> None:
    one = Watched(opened)
    one.wait(b"shop\xff%d" % n for n in range(19))
    assert one.closed() == INTAKE_CLOSED


async def test_tenants_with_their_own_topics_never_close_the_others(opened: Opened) -> None:
    """However many there are, what all of them may take together leaves a closed gate free to open again."""
    one = Watched(opened, {"clicks": "shop", "t.inbox": "news"})
    for tenant in (b"shop", b"news"):
        number = 0
        while one.closed()[0] != SOURCES and number < 100:
            one.wait([b"%s\xff%d" % (tenant, number)])
            number += 1
            if one.gates._of_tenants[tenant.decode()].is_closed:
                break
    assert one.closed() == (SOURCES, OPEN[1])
    assert one.index.weight.ordinary_bytes < 0.8 * MAX_BYTES * 2 / 3
