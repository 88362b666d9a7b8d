"""Leftovers: whether a file of a worker's tables holds something of a user.

Place in the flow: below :mod:`prefstream.absence`, which searches a directory.

A short id is part of RocksDB's own words ("ada" in "metadata") and of other people's ("Canada", "adam"). So an id counts where
it is a word of its own, or stands as a key does in RocksDB's files: behind its length, or in front of an offset or a sequence
number, whose bytes may look like letters. RocksDB names no key in its options, and in its log in hexadecimal and quotes;
its other words there are names of settings and paths.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

_BLOCK_BYTES = 1 << 20
_OWN_WORDS = ("LOG", "OPTIONS")  # how the names of the files begin that RocksDB writes for people
_ZEROS = rb"\0\0\0"  # of an offset, a version or a sequence number below 2^40, 2^40 and 2^32
_BESIDE_KEY = 40  # more than a pattern takes beside a key


def holds(path: Path, key: bytes, canaries: Sequence[bytes]) -> bool:
    """Whether a user's key or a canary, as it is or in hexadecimal, is in a file. One that is gone holds nothing."""
    forms = [*_as_key(key), *(form for canary in canaries for form in (re.escape(canary), _hexadecimal(canary)))]
    if not path.name.startswith(_OWN_WORDS) and not key.isdigit():
        forms += _as_word(key)
    reach = 2 * max(map(len, (key, *canaries))) + _BESIDE_KEY
    try:
        return _is_found(path, re.compile(b"|".join(forms), re.DOTALL), reach)
    except FileNotFoundError:
        return False


def _as_key(key: bytes) -> Iterator[bytes]:
    """The key as RocksDB's files have it: alone, or behind a kind and its length, and in front of an offset or a version."""
    plain, in_hex, length = re.escape(key), _hexadecimal(key), len(key)
    yield re.escape(bytes([length % 256])) + plain
    yield plain + _ZEROS
    yield plain + rb"[\x00-\x1f].{4}" + _ZEROS  # the type of an entry, and its sequence number, little-endian
    yield rb"[\"']" + plain + rb"[\"']"
    yield b"'" + in_hex + b"(?:'|00|FF)"
    yield b"'[0-9A-F]{2}(?i:%04x)" % length + in_hex


def _as_word(key: bytes) -> Iterator[bytes]:
    for form in (re.escape(key), _hexadecimal(key)):
        yield rb"(?<![0-9A-Za-z])" + form + rb"(?![0-9A-Za-z])"


def _hexadecimal(text: bytes) -> bytes:
    return b"(?i:%s)" % text.hex().encode()


def _is_found(path: Path, pattern: re.Pattern[bytes], reach: int) -> bool:
    """Whether the pattern, whose matches with one byte on either side are shorter than ``reach``, is in the file."""
    read = b""
    with path.open("rb") as file:
        while True:
            block = file.read(_BLOCK_BYTES)
            # The byte in front of a match is looked at, too, and the one behind it has to be there.
            start = 1 if len(read) > 2 * reach else 0
            read = read[-2 * reach - 1 :] + block
            match = pattern.search(read, start)
            if match and (not block or match.end() <= len(read) - reach):
                return True
            if not block:
                return False
