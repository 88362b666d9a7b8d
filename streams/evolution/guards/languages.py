"""Languages: a model that goes on in another language than the person's text (answer → **languages** → verdict).

Claims in the format of the prose are English by their format, and what stands in quotes is somebody else's. The rest is asked
of py3langid, a table of byte sequences for 140 languages; of what it is not sure, nothing is said. A text may hold several
languages, as after a person's edit. English claims may be added to it, as long as the person's language stays; and the
instructions' language is as good as the old text's where nobody can tell what that is.

The table is read from a file. So that no judgement does that, whoever judges on a loop calls :func:`load_languages` first.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING

from streams.evolution.guards.verdicts import Candidate, Rejected
from streams.evolution.guards.wording import sentences_of, unquoted
from streams.evolution.prose import parse

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

_SURE = 0.7  # of six words or more, in 26 languages, none is then taken for another
_CLAIMS = "en"
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
    expected = _anywhere("\n".join([candidate.old_text, *candidate.pins])) or instructions | _guessed(candidate.old_text)
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


def _guessed(text: str) -> frozenset[str]:
    """The likeliest language of a text that is too short to be sure; of no text none."""
    words = unquoted(text)[:_MAX_CHARS]
    return frozenset([_identifier().classify(words)[0]]) if words.strip() else frozenset()


def _language(text: str) -> frozenset[str]:
    words = unquoted(text)[:_MAX_CHARS]
    if not words.strip():
        return frozenset()
    language, confidence = _identifier().classify(words)
    return frozenset([language]) if confidence >= _SURE else frozenset()


@cache
def _identifier() -> LanguageIdentifier:
    # Not with this module, which is imported by many that judge nothing.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
