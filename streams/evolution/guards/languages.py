"""Languages: a model that goes on in another language than the person's text (answer → **languages** → verdict).

Claims in the format of the prose are English by their format, and what stands in quotes is somebody else's. The rest is asked
of py3langid, a table of byte sequences for 140 languages; of what it is not sure, nothing is said, nor of what it finds in
names alone: without what follows a capital within a sentence, up to four words, the language has to be the same. A text may
hold several languages, as after a person's edit. English claims may be added to it, as long as the person's language stays.
Where nobody can tell what the person's own words are in, every language is right.

The table is read from a file. So that no judgement does that, whoever judges on a loop calls :func:`load_languages` first.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from streams.evolution.guards.verdicts import Candidate, Rejected
from streams.evolution.guards.wording import sentences_of, unquoted, words_of
from streams.evolution.prose import parse

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

_SURE = 0.7  # of six words or more, in 26 languages, none is then taken for another
_CLAIMS = "en"
# A capital that begins no sentence, and what may follow it in a title: "La vita è bella".
_NAMED = re.compile(r"(?<=[^\s.!?:] )[^\W\d_a-zß-ÿ]\w*(?: (?!and |or )\w+){0,3}")
_MAX_CHARS = 2_000  # more says nothing more
_MAX_SENTENCES = 100  # each is asked about, in 0.1 ms


def load_languages() -> None:
    """Read the table now, not with the first judgement: 0.5 s, and 88 MiB with numpy, which the process keeps.

    Every dialect needs it: for a person's own text in the old summary, and for the language of the instructions.
    """
    _identifier()


def keeps_the_language(candidate: Candidate) -> Rejected | None:
    """Whether the text is in a language of the old one, or of the instructions where there is no old one."""
    spoken = _spoken(candidate.text)
    if not spoken or spoken <= _spoken(candidate.old_text):
        return None
    instructions = _instructions(candidate)
    pins = "\n".join(candidate.pins)
    if _is_doubtful(candidate.old_text or pins):
        return None
    expected = _anywhere(f"{candidate.old_text}\n{pins}") or instructions
    allowed = expected | instructions if _anywhere(candidate.text) & expected else expected
    if spoken <= allowed or not expected:
        return None
    return Rejected("language", f"it is written in {', '.join(sorted(spoken - allowed))}, not in {', '.join(sorted(expected))}")


def _instructions(candidate: Candidate) -> frozenset[str]:
    return _constant_language("\n".join(turn.content for turn in candidate.prompt.turns if turn.role == "system"))


@lru_cache(maxsize=8)
def _constant_language(text: str) -> frozenset[str]:
    return _language(text)


def _spoken(text: str) -> frozenset[str]:
    """The language of the claims in ``text``, if there are any, and that of the rest, as far as it is clear."""
    claims = parse(text)
    return (frozenset([_CLAIMS]) if claims.sections else frozenset()) | _language("\n".join(claims.others))


def _anywhere(text: str) -> frozenset[str]:
    """The same, and the language of each single sentence."""
    others = sentences_of("\n".join(parse(text).others)[:_MAX_CHARS])[:_MAX_SENTENCES]
    return _spoken(text).union(*map(_language, others))


def _is_doubtful(text: str) -> bool:
    """Whether somebody's own words are there, and nobody can tell what language they are in."""
    own = "\n".join(parse(text).others)
    return bool(words_of(unquoted(own))) and not _language(own)


def _language(text: str) -> frozenset[str]:
    words = unquoted(text)[:_MAX_CHARS]
    if not words.strip():
        return frozenset()
    language, confidence = _identifier().classify(words)
    if confidence < _SURE or language != _identifier().classify(_NAMED.sub(" ", words))[0]:
        return frozenset()
    return frozenset([language])


@cache
def _identifier() -> LanguageIdentifier:
    # Not with this module, which is imported by many that judge nothing.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
