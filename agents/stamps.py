"""Stamps: whether what an earlier run left in a store can be trusted as the beginning of a recovery. Decisions only, no I/O.

Place in the flow: below :mod:`agents.store`, which writes the stamp in the same batch as the rows, and asks before a recovery.

A store that was away too long has missed deletes: the log forgets a tombstone ``delete.retention.ms`` after it was compacted
with it, and a user who asked to be forgotten would be back. In step *at* an instant means: whatever was written to the log
before it is in the store, and what is missing was still in the log then. So the instant is that before a record was sent
which the broker took, or that before a recovery from nothing began; a clock alone, without the broker's word, proves nothing
about a process that was paused.
"""

from __future__ import annotations

import msgspec

# Of the time that tombstones stay, what a store may be behind; the rest is for the recovery itself and for odd clocks.
_TRUSTED_SHARE = 2
# Of that time, after how much an idle owner writes something to be in step again.
_REFRESHED_SHARE = 10


class Changelog(msgspec.Struct, frozen=True):
    """The topic that a store is a copy of: Kafka's id of it, how long it keeps tombstones, and how many partitions it has."""

    topic_id: str
    delete_retention_ms: int
    num_partitions: int = 1

    @property
    def max_age_ms(self) -> int:
        """How long after it was last in step a store is trusted."""
        return self.delete_retention_ms // _TRUSTED_SHARE

    @property
    def refresh_after_ms(self) -> int:
        """How long after it was last in step an owner that has nothing to write refreshes the stamp."""
        return self.max_age_ms // _REFRESHED_SHARE


class Stamp(msgspec.Struct, frozen=True, array_like=True):
    """What a store says of itself: which log it copies, up to which offset, and when it was last in step (ms since 1970).

    ``num_partitions`` is how many partitions the topic had then; 0 where the version that wrote it did not say.
    """

    topic_id: str
    offset: int
    in_step_at_ms: int
    num_partitions: int = 0


encode_stamp = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Stamp)


def decode_stamp(packed: bytes | None) -> Stamp | None:
    """The stamp, or ``None`` when there is none or not one of this version's."""
    try:
        return _decoder.decode(packed) if packed else None
    except msgspec.MsgspecError:
        return None


def why_distrusted(stamp: Stamp | None, changelog: Changelog, end: int, now_ms: int) -> str | None:
    """Why a recovery may not go on from this stamp, or ``None`` when it may.

    ``end`` is the offset of the log's last record, which the new owner has just written and no store can hold yet.
    """
    if stamp is None:
        return "it has no stamp that this version understands"
    if stamp.topic_id != changelog.topic_id:
        return "its topic was created again since"
    if stamp.num_partitions not in (0, changelog.num_partitions):
        return f"its topic had {stamp.num_partitions} partitions then: users whom it holds may be in others now"
    if stamp.offset >= end:
        return f"it is at offset {stamp.offset}, which the log never reached: that ended below {end}"
    age_ms = now_ms - stamp.in_step_at_ms
    if age_ms < 0:
        return f"it was last in step {-age_ms} ms in the future: the clock was set back"
    if age_ms > changelog.max_age_ms:
        return (
            f"it was last in step {age_ms / 1_000:.0f} s ago; what was deleted since may be gone from the log, "
            f"which keeps deletes for {changelog.delete_retention_ms / 1_000:.0f} s"
        )
    return None
