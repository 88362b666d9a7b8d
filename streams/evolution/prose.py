"""The prose of a summary: a sentence per kind of claim, written and read back by code (tally → **prose** → prompt, text).

A summary in this format reads::

    Loves drama and war. Likes crime. Mixed on thriller. Dislikes musicals. Often chooses comedy.
    Favourites: "Fargo (1996)"; "Alien (1979)". Did not enjoy: "Spawn (1997)". Recently searched for "slow cinema".

Titles and the person's own words stand in double quotes, which no title contains after :func:`quotable`; an attribute is
quoted when it contains what the grammar uses or has more than three words. With several domains each has a line of its own,
which starts with its name: ``Films: Loves drama.`` Sentences of no kind named here are somebody's own words; they stand on the
first line.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Iterator

from msgspec import Struct
from msgspec.structs import asdict, replace

from streams.evolution.invisible import without_invisible
from streams.evolution.lookalikes import without_double_quotes
from streams.evolution.markup import without_markup
from streams.tokens import estimate_text_tokens

NOTHING_YET = "No clear preferences yet."
MAX_TITLE_CHARS = 80
MAX_ATTRIBUTE_CHARS = 40
MAX_PLAIN_WORDS = 3
"""Of an attribute, or the name of a domain, without quotes: more could be read as somebody's sentence, or as an order."""


class Section(Struct, frozen=True, kw_only=True):
    """The claims about one domain, each kind most telling first: attributes, titles strongest and newest first, own words."""

    domain: str = ""
    loves: tuple[str, ...] = ()
    likes: tuple[str, ...] = ()
    mixed: tuple[str, ...] = ()
    dislikes: tuple[str, ...] = ()
    often: tuple[str, ...] = ()
    favourites: tuple[str, ...] = ()
    did_not_enjoy: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    quotes: tuple[str, ...] = ()


class Claims(Struct, frozen=True):
    """What a summary says: a section per domain, and ``others``, the sentences that are no claims of this format."""

    sections: tuple[Section, ...] = ()
    others: tuple[str, ...] = ()


_ATTRIBUTE_HEADS = {
    "loves": "Loves ",
    "likes": "Likes ",
    "mixed": "Mixed on ",
    "dislikes": "Dislikes ",
    "often": "Often chooses ",
}
_TITLE_HEADS = {
    "favourites": "Favourites: ",
    "did_not_enjoy": "Did not enjoy: ",
    "searches": "Recently searched for ",
    "quotes": "Wrote: ",
}
KINDS = (*_ATTRIBUTE_HEADS, *_TITLE_HEADS)
# What gives way last when the budget is short: (first of its kind, each further one); higher gives way earlier. Titles carry
# most of what a recommender can use, three favourites for two dislikes; and a turn of taste has to be said.
_RANKS = {
    "loves": (0.0, 0.8),
    "favourites": (0.5, 0.5),
    "likes": (1.0, 1.5),
    "did_not_enjoy": (1.0, 0.5),
    "dislikes": (1.5, 1.0),
    "mixed": (1.8, 1.0),
    "searches": (2.5, 2.0),
    "often": (5.0, 1.5),
    "quotes": (3.8, 3.0),
}

_QUOTED = r'"([^"]*)"'
_ATTRIBUTE = re.compile(rf"""(?:{_QUOTED}|((?:(?! and )[^",;:.!?])+))(?:, and |, | and |$)""")
_PLAIN_ATTRIBUTE = re.compile(r"""[^",;:.!?]+""")
_TITLE = re.compile(rf"{_QUOTED}(?:; |$)")
_SENTENCE = re.compile(r'(?:[^".!?]+|"[^"]*"|"|[.!?](?!\s|$))+[.!?]*')
_TAG = re.compile(rf"(?:([A-Z][A-Za-z0-9 &/-]*)|{_QUOTED}): ")
_PLAIN_DOMAIN = re.compile(r"[a-z][A-Za-z0-9 &/-]*")
_NO_DOMAINS = frozenset(head[:-2].lower() for head in _TITLE_HEADS.values() if head.endswith(": "))
_JOINERS = "\u200c\u200d"


def one_line(text: str, max_chars: int) -> str:
    """``text`` on one line of at most ``max_chars``, without control and invisible characters; idempotent."""
    return _cut(_legible(text), max_chars)


def as_data(text: str, max_chars: int) -> str:
    """``text`` on one line of at most ``max_chars``, without anything a chat template or a prompt gives a meaning; idempotent.

    Markup is taken out before the cut, which would leave halves of it, and again where the cut has ended a name.
    """
    text = _bare(_legible(text))
    return text if len(text) <= max_chars else _bare(_cut(text, max_chars))


def _bare(text: str) -> str:
    text = without_markup(text)
    # What is taken out may have kept a joiner visible, and that may have hidden something else.
    while (visible := without_invisible(text)) != text:
        text = without_markup(visible)
    return text


def quotable(text: str, max_chars: int) -> str:
    """``text`` as data, fit to stand between double quotes; what a claim or a title is before it is written."""
    return as_data(without_double_quotes(text), max_chars)


def _legible(text: str) -> str:
    text = without_invisible(text)
    if not text.isprintable():
        text = "".join(map(_visible, text))
    return " ".join(text.split())


def _cut(text: str, max_chars: int) -> str:
    # A joiner at the end would join nothing, and be invisible.
    return text if len(text) <= max_chars else text[: max_chars - 1].rstrip(f" {_JOINERS}\ufe0f") + "…"


def _visible(character: str) -> str:
    if character.isspace():
        return " "
    return "" if unicodedata.category(character) in {"Cc", "Cf"} and character not in _JOINERS else character


def render(claims: Claims, max_tokens: int) -> str:
    """The claims as text of at most ``max_tokens`` estimated tokens (no fewer than those of ``NOTHING_YET``).

    What does not fit is left out claim by claim, the least important first; no sentence is cut.
    """
    text = _write(claims)
    if estimate_text_tokens(text) <= max_tokens:
        return text
    ranked = sorted(_ranked(claims))

    def tokens(num_claims: int) -> int:
        return estimate_text_tokens(_write(_only(claims, ranked[:num_claims])))

    num_fitting = bisect_right(range(len(ranked)), max_tokens, key=tokens) - 1
    return _write(_only(claims, ranked[: max(num_fitting, 0)]))


def _ranked(claims: Claims) -> Iterator[tuple[float, int, str]]:
    """(rank, section or -1 for somebody's own words, kind) of every claim; within a kind in the order of the claims."""
    for index in range(len(claims.others)):
        yield float(index - len(claims.others)), -1, ""
    for index, section in enumerate(claims.sections):
        for kind, (first, step) in _RANKS.items():
            for place in range(len(getattr(section, kind))):
                yield first + step * place, index, kind


def _only(claims: Claims, ranked: Iterable[tuple[float, int, str]]) -> Claims:
    counts = Counter((index, kind) for _, index, kind in ranked)
    sections = (
        replace(section, **{kind: getattr(section, kind)[: counts[index, kind]] for kind in KINDS})
        for index, section in enumerate(claims.sections)
    )
    return Claims(tuple(sections), claims.others[: counts[-1, ""]])


def _write(claims: Claims) -> str:
    told = [(section.domain, sentences) for section in claims.sections if (sentences := " ".join(_sentences(section)))]
    tagged = len({domain for domain, _ in told}) > 1
    lines = [" ".join(claims.others)] if claims.others else []
    lines += [(_tag(domain) if tagged else "") + sentences for domain, sentences in told]
    return "\n".join(lines) or NOTHING_YET


def _sentences(section: Section) -> Iterator[str]:
    for kind, head in _ATTRIBUTE_HEADS.items():
        if values := getattr(section, kind):
            yield f"{head}{_listed([_attribute(value) for value in values])}."
    for kind, head in _TITLE_HEADS.items():
        if titles := getattr(section, kind):
            yield head + "; ".join(f'"{title}"' for title in titles) + "."


def _attribute(value: str) -> str:
    plain = _PLAIN_ATTRIBUTE.fullmatch(value) and " and " not in f" {value} " and len(value.split()) <= MAX_PLAIN_WORDS
    return value if plain else f'"{value}"'


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _tag(domain: str) -> str:
    if not domain:
        return ""
    plain = _PLAIN_DOMAIN.fullmatch(domain) and domain.lower() not in _NO_DOMAINS and len(domain.split()) <= MAX_PLAIN_WORDS
    return f"{domain[0].upper()}{domain[1:]}: " if plain else f'"{domain}": '


def parse(text: str) -> Claims:
    """The claims of a text, whoever wrote it; the domain of a text about a single one is empty.

    ``parse(render(claims, n))`` are the claims again where all fitted and their strings came through :func:`quotable`.
    """
    sections: dict[str, Section] = {}
    others: list[str] = []
    for line in text.splitlines():
        section, strangers = _parse_line(line.strip())
        others += strangers
        if section is not None:
            before = sections.get(section.domain)
            sections[section.domain] = _joined(before, section) if before else section
    return Claims(tuple(sections.values()), tuple(other for other in others if other != NOTHING_YET))


def _parse_line(line: str) -> tuple[Section | None, list[str]]:
    domain, rest = _parse_tag(line)
    claims: dict[str, tuple[str, ...]] = {}
    strangers = []
    for sentence in _split(rest):
        kind, values = _parse_sentence(sentence)
        if values:
            claims[kind] = claims.get(kind, ()) + values
        else:
            strangers.append(sentence)
    if not claims:
        # "Note: no horror, please." is somebody's own words, not a domain named note.
        return None, _split(line)
    return Section(domain=domain, **claims), strangers


def _parse_tag(line: str) -> tuple[str, str]:
    match = _TAG.match(line)
    if match is None or (match[1] or "").lower() in _NO_DOMAINS:
        return "", line
    domain = match[2] if match[1] is None else match[1][0].lower() + match[1][1:]
    return domain, line[match.end() :]


def _split(line: str) -> list[str]:
    sentences = (part.strip() for part in _SENTENCE.findall(line))
    return [sentence if sentence.endswith((".", "!", "?", "…")) else sentence + "." for sentence in sentences if sentence]


def sentences(text: str) -> list[str]:
    """The sentences of a text, whoever wrote it, each with its end; a line begins a new one."""
    return [sentence for line in text.splitlines() for sentence in _split(line)]


def _parse_sentence(sentence: str) -> tuple[str, tuple[str, ...]]:
    """The kind of claim and its values; no values where the sentence is no claim."""
    for kind, head in _ATTRIBUTE_HEADS.items():
        if sentence.startswith(head):
            return kind, _parse_list(_ATTRIBUTE, sentence[len(head) :].removesuffix("."))
    for kind, head in _TITLE_HEADS.items():
        if sentence.startswith(head):
            return kind, _parse_list(_TITLE, sentence[len(head) :].removesuffix("."))
    return "", ()


def _parse_list(item: re.Pattern[str], text: str) -> tuple[str, ...]:
    values = []
    end = 0
    while end < len(text):
        match = item.match(text, end)
        if match is None:
            return ()
        values.append(next(group for group in match.groups() if group is not None))
        end = match.end()
    return tuple(values)


def stretches(text: str, attributes: Collection[str]) -> list[str]:
    """What a text says, cut where no phrase of anybody's runs on: at our own words, and between the claims of a list.

    A list of these ``attributes`` says each of them and no two together; any other may be a title with a comma in it. A
    sentence runs on into the next one: a point in a name ("Loves Mr. Robot") ends none.
    """
    said = [""]
    for line in text.splitlines():
        domain, rest = _parse_tag(line.strip())
        told = [(sentence, *_parse_sentence(sentence)) for sentence in _split(rest)]
        if line == NOTHING_YET:
            continue
        if not any(values for _, _, values in told):
            said[-1] += f" {line}"
            continue
        if domain:
            said.append(domain)
        for sentence, kind, values in told:
            if not values:
                said[-1] += f" {sentence}"
            elif kind in _TITLE_HEADS or all(value in attributes for value in values):
                said += values
            else:
                said.append(sentence.removeprefix(_ATTRIBUTE_HEADS[kind]))
    return said


def _joined(first: Section, second: Section) -> Section:
    later = asdict(second)
    return replace(first, **{kind: getattr(first, kind) + later[kind] for kind in KINDS})
