"""Invisible characters: what nobody sees, and a model reads (**data → prompt**, and **answer → guards**).

Words can be hidden in them whole, one tag character for each letter, and a delimiter with one inside is read as that delimiter
and found by no pattern. The two joiners stay where scripts need them, between two letters that have no case (Persian, Hindi)
or two emoji; so does the character that makes an emoji of a sign.
"""

from __future__ import annotations

import re

# What Unicode says to ignore where it is not supported, with blanks, what stands for no character, and private use.
_IGNORED = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    "\ud800-\udfff\ue000-\uf8ff\ufdd0-\ufdef\ufe00-\ufe0e\ufeff\uffa0\ufff0-\uffff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U0010ffff"
)
_CASELESS = "\u0590-\u109f\u1200-\u13ff\u1700-\u1c7f\ua800-\ua8ff\uaa00-\uaadf"  # Hebrew to Tibetan, and what lies behind
_EMOJI = "\u00a9\u00ae\u203c-\u2bff\u3030-\u3299\U0001f000-\U0001faff"
_AFTER = f"[{_CASELESS}{_EMOJI}\ufe0f]"
_INVISIBLE = re.compile(
    rf"[{_IGNORED}]|(?<!{_AFTER})[\u200c\u200d]|[\u200c\u200d](?![{_CASELESS}{_EMOJI}])"
    rf"|(?<![{_EMOJI}0-9#*])\ufe0f|(?<=[0-9#*])\ufe0f(?!\u20e3)"
)


def without_invisible(text: str) -> str:
    """``text`` without what nobody sees; what that leaves has nothing of it either."""
    if text.isascii():
        return text
    # What is taken out may have kept two joiners apart.
    while (cleaned := _INVISIBLE.sub("", text)) != text:
        text = cleaned
    return text
