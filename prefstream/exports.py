"""Export: everything that lies on prefstream's own topics about one user, as one JSON document.

Place in the flow: beside it, like the audit, and with parsers of its own: what a worker wrote is shown as what it says. Of
the topics whose key is the user, the partitions are read where it can be, of the others all. The platform's own topics are
theirs.
"""

from __future__ import annotations

import struct
from base64 import b64decode
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from kafka.partitioner.default import murmur2

from prefstream.admin import topic_states
from prefstream.connection import missing_topic
from prefstream.reading import TopicReading, Watch
from prefstream.replays import decode_header
from prefstream.security import Servers
from prefstream.tenants import key_of
from prefstream.topics import TopicNames

ROW_KINDS = {
    b"e": "pending event",
    b"f": "failed calls",
    b"c": "controls",
    b"i": "recent event ids",
    b"r": "command without a receipt yet",
    b"v": "version",
}
NOT_SEARCHED = (
    "the platform's own topics; records there and in dead letters that name the user elsewhere than in their key or in a field "
    "`user`; refused records of topics with several tenants that do not say which; what recommenders keep; logs and metrics, "
    "which name nobody"
)
_HEAD = struct.Struct(">cH")


class Whose(NamedTuple):
    """The user whose records are wanted."""

    tenant: str
    user: str

    @property
    def key(self) -> bytes:
        """The key of the user's records."""
        return key_of(self.tenant, self.user)


def export(
    bootstrap_servers: Servers, namespace: str, user: str, now: datetime, watch: Watch, tenant: str = ""
) -> dict[str, Any]:
    """Everything that is held about the user: by topic a list of records with their place, time and value, oldest first.

    Of rows that replace each other the newest is shown, and how many older ones still wait for compaction.
    Raises TopicMismatch for a missing topic, and BrokerUnreachable.
    """
    names, whose = TopicNames(namespace), Whose(tenant, user)
    keyed = (names.events, names.pending, names.history, names.summaries, names.receipts)
    others = () if names.shadow_of else (names.inbox, names.replays)
    states = topic_states(bootstrap_servers, (*keyed, *others, names.dead_letters))
    held: dict[str, list[dict[str, Any]]] = {}
    with TopicReading(bootstrap_servers, watch, "read_uncommitted") as reading:
        for topic in (*others, *keyed, names.dead_letters):
            if topic not in states:
                raise missing_topic(topic)
            count = states[topic].num_partitions
            numbers = homes(whose.key, count) if topic in keyed else range(count)
            starts = reading.beginnings(topic, numbers)
            records = list(reading.records_since(topic, starts))
            held[topic] = list(_held(records, whose, names, topic))
    told = {"user": user} | ({"tenant": tenant} if tenant else {})
    return told | {"exported_at": now, "topics": held, "not_searched": NOT_SEARCHED}


def homes(key: bytes, num_partitions: int) -> list[int]:
    """Where the records of a key can be: in its partition, and where that was while there were fewer (docs/partitions.md)."""
    numbers = (count for count in range(1, num_partitions + 1) if not num_partitions % count)
    return sorted({(murmur2(key) & 0x7FFFFFFF) % count for count in numbers})


def _held(records: list[Any], whose: Whose, names: TopicNames, topic: str) -> Iterator[dict[str, Any]]:
    about = [record for record in records if is_about(record.key, record.value, whose, names, topic, _declared(record))]
    if topic not in (names.pending, names.history, names.summaries, names.dead_letters):
        yield from (_shown(record) for record in about if record.value is not None)
        return
    newest = {record.key: record for record in about}
    for key, record in newest.items():
        num_older = sum(other.key == key and other.value is not None for other in about) - (record.value is not None)
        if record.value is not None or num_older:
            yield _shown(record) | ({"num_older_until_compaction": num_older} if num_older else {})


def is_about(key: bytes | None, value: bytes | None, whose: Whose, names: TopicNames, topic: str, declared: str = "") -> bool:
    """Whether a record of this topic is about the user. ``declared`` is whose the topic was that a replay came from."""
    if topic in (names.pending, names.history):
        return row_of(key)[1] == whose.key
    if topic == names.dead_letters:
        letter = _json(value)
        if not isinstance(letter, dict):
            return False
        return _is_meant(_bytes(letter, "key"), _json(_bytes(letter, "value")), whose, str(letter.get("tenant") or ""))
    if topic in (names.inbox, names.replays):
        return _is_meant(key, _json(value), whose, declared)
    return key == whose.key


def _is_meant(key: bytes | None, document: object, whose: Whose, declared: str) -> bool:
    """Whether what a source has is about the user, by key or content; ``declared`` is whose the source is, if anybody's.

    A platform's own key has no tenant in it: where source or content name one, it is nobody's of the default tenant.
    """
    told = _told_in(document)
    tenants = {declared} if declared else {one.get("tenant") or "" for one in told}
    if key == whose.key and (whose.tenant or tenants <= {""}):
        return True
    if declared and declared == whose.tenant and key == whose.user.encode():
        return True
    return any(one.get("user") == whose.user and whose.tenant == (declared or one.get("tenant") or "") for one in told)


def _declared(record: Any) -> str:
    """Whose the topic was that a replay came from; empty for anything else."""
    header = record.headers[0] if record.headers else None
    replay = decode_header(header) if header else None
    return replay.tenant if replay else ""


def row_of(key: bytes | None) -> tuple[str, bytes | None]:
    """The kind of a row of a table, in words, and whose it is: kind byte, length of the user (u16), user, more."""
    if key is None or len(key) < _HEAD.size:
        return "", None
    kind, length = _HEAD.unpack_from(key)
    user = key[_HEAD.size : _HEAD.size + length]
    return (ROW_KINDS.get(kind, ""), user) if len(user) == length and kind in ROW_KINDS else ("", None)


def _told_in(document: object) -> list[Mapping[str, Any]]:
    """A document, or those of a list, as far as they can be read; and the data of a CloudEvent, which is one of ours."""
    documents = document if isinstance(document, list) else [document]
    inside = [one["data"] for one in documents if isinstance(one, Mapping) and "data" in one]
    return [one for one in (*documents, *inside) if isinstance(one, Mapping) and isinstance(one.get("tenant"), str | None)]


def _json(value: bytes | None) -> object:
    try:
        return msgspec.json.decode(value or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _bytes(letter: dict[str, Any], name: str) -> bytes | None:
    """A field of a dead letter that holds bytes."""
    try:
        return b64decode(letter.get(name) or b"")
    except (TypeError, ValueError):
        return None


def _shown(record: Any) -> dict[str, Any]:
    kind, _ = row_of(record.key)
    place = {
        "partition": record.partition,
        "offset": record.offset,
        "at": datetime.fromtimestamp(record.timestamp / 1_000, UTC),
    }
    return place | ({"kind": kind} if kind else {}) | {"value": shown_value(record.value)}


def shown_value(value: bytes | None) -> object:
    """What bytes say: JSON or msgpack as such, text as text; what is none of these in base64. ``None`` for what is deleted."""
    if value is None:
        return None
    for decode in (msgspec.json.decode, msgspec.msgpack.decode, bytes.decode):
        try:
            return _readable(decode(value))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError):
            continue
    return value


def _readable(document: object) -> object:
    """The same with the bytes in it read as well, and keys that JSON can have."""
    match document:
        case bytes():
            return shown_value(document)
        case msgspec.msgpack.Ext():
            return shown_value(bytes(document.data))
        case dict():
            return {str(name): _readable(value) for name, value in document.items()}
        case list():
            return [_readable(value) for value in document]
        case _:
            return document
