"""Wording: texts as words, so that what is the same is found in other clothes (**words** → every guard)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache

from streams.evolution.invisible import without_invisible

_CONTROLS = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)], " ")
_QUOTED = re.compile(r'("[^"\n]*"|[“„][^“”„\n]{0,200}[”“]|«[^«»\n]{0,200}»)')
_SENTENCE_END = re.compile(r"[.!?;\n。！？]+")
# Scripts without spaces between words (Thai to Tibetan, Burmese, Khmer, Japanese, Chinese), emoji, and Korean, where what is
# said of a word is written onto it.
_SINGLE = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u2600-\u27bf\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\U0001f000-\U0003ffff]"
)


def normalise(text: str) -> str:
    """The text in its lines: what is invisible and empty lines gone, every run of control characters and space one space."""
    lines = (" ".join(line.translate(_CONTROLS).split()) for line in without_invisible(text).splitlines())
    return "\n".join(line for line in lines if line)


def words_of(text: str) -> list[str]:
    """The words of a text, without case, punctuation and invisible characters."""
    return "".join(map(_in_words, unicodedata.normalize("NFKC", text).casefold())).split()


@cache
def _in_words(character: str) -> str:
    """What a character is for the words: a part of one, one by itself, nothing (invisible), or a gap."""
    category = unicodedata.category(character)
    if category == "Cf" or character == "\ufe0f":
        return ""
    if _SINGLE.match(character):
        return f" {character} "
    return character if category[0] in "LMN" else " "


def phrases_of(texts: Sequence[str]) -> list[list[str]]:
    """The words of each text that has any."""
    return [words for words in map(words_of, texts) if words]


def unquoted(text: str) -> str:
    """The text without what stands in quotes: titles, and the person's own words."""
    return _QUOTED.sub(" ", text)


def quoted_in(text: str) -> list[list[str]]:
    """The words of each part that stands in quotes."""
    return [words_of(part) for part in _QUOTED.findall(text)]


def words_and_titles(text: str) -> list[str]:
    """The words of a text, in which whatever stands in quotes is one."""
    words: list[str] = []
    for number, part in enumerate(_QUOTED.split(text)):
        words += [" ".join(words_of(part))] if number % 2 else words_of(part)
    return [word for word in words if word]


def sentences_of(text: str) -> list[str]:
    """The sentences of a text, roughly: a title may hold an end of one."""
    return _SENTENCE_END.split(text)


def occurs(phrase: list[str], words: list[str]) -> bool:
    """Whether the words of ``phrase`` stand in ``words``, one after the other."""
    return any(words[i : i + len(phrase)] == phrase for i in range(len(words) - len(phrase) + 1))
