"""What changed between two versions of a text, word by word, for people to see."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from rich.console import Console
from rich.text import Text

ADDED = "green"
REMOVED = "red strike"
_MARKS = {ADDED: ("{+", "+}"), REMOVED: ("[-", "-]")}

# A quoted title is one word: two titles that share some must not be woven into one.
_word = re.compile(r'^\s+|"[^"]*"[.;,]?\s*|\S+\s*')


def changed_words(old: str, new: str) -> Text:
    """``new`` with the words that are not in ``old`` in green, and before them the words they replace, struck out in red.

    Leaving out what is struck out gives ``new``; leaving out what is green gives the words of ``old``. A word that only ends
    with another mark, as where it is not the last of a list any more, has not changed, unless nothing else has.
    """
    before, after = _word.findall(old), _word.findall(new)
    words = SequenceMatcher(None, _bare(before), _bare(after), autojunk=False)
    if words.ratio() == 1.0:
        words = SequenceMatcher(None, _bare(before, marks=""), _bare(after, marks=""), autojunk=False)
    text = Text()
    for kind, start, end, new_start, new_end in words.get_opcodes():
        if kind != "equal" and end > start:
            text.append(_space_after(text) + "".join(before[start:end]).rstrip() + " ", style=REMOVED)
        text.append("".join(after[new_start:new_end]), style="" if kind == "equal" else ADDED)
    return text


def _bare(words: list[str], marks: str = ".,;") -> list[str]:
    """The words without the space and these marks behind them; what is nothing but marks stays."""
    return [word.strip().rstrip(marks) or word.strip() for word in words]


def _space_after(text: Text) -> str:
    """What keeps the next word from running into the last one."""
    return "" if not text or text.plain[-1].isspace() else " "


def has_colours(console: Console) -> bool:
    """Whether what changed can be told by its colour there: not in a pipe, on a dumb terminal, or with NO_COLOR."""
    return console.color_system is not None and not console.no_color


def marked(change: Text) -> str:
    """What changed, for where there are no colours: ``[-removed-]`` and ``{+added+}``."""
    pieces, end = [], 0
    for span in change.spans:
        before, after = _MARKS[str(span.style)]
        changed = change.plain[span.start : span.end]
        words = changed.strip()
        pieces += [change.plain[end : span.start], changed.replace(words, f"{before}{words}{after}")]
        end = span.end
    return "".join([*pieces, change.plain[end:]])
