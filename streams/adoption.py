"""Adoption: what a text from a shadow makes of somebody's summary, and the way back (collect → **change** → decision).

==========  =================================================================================================================
command     what it does
==========  =================================================================================================================
adopt       the text is the shadow's. Pins and own words have to be in it, and it has to pass every guard that an answer of the
            model passes, against the controls as they are now
give_back   the text is that of an earlier version, without what a `never` forbids today, and with today's pins and own words
==========  =================================================================================================================

The installation itself sends them, so they have to be signed; and they are made for one version, as an answer of the model is:
whatever came in between makes them void. The tally, the places and what the person asked for stay as they are.
"""

from __future__ import annotations

from prefstream.commands import Adopt, GiveBack
from prefstream.history import KeptVersion
from streams.changes import Change, Person, Refusal, no_version, with_kept
from streams.discretion import discreet_text
from streams.evolution.guards import Accepted, GuardLimits, Rejected, judge
from streams.evolution.plain import SYSTEM
from streams.evolution.records import Completion, Prompt, Turn
from streams.subjects import speaks_of, text_without
from streams.titles import without_titles

_MIN_LENGTH = 0.1  # of the text that it replaces: other words are what a rebuild is for, and next to none are a loss


def adopted(command: Adopt | GiveBack, person: Person) -> Change | Refusal:
    """What the command changes of the person, or why it changes nothing."""
    if refusal := _unfounded(command, person):
        return refusal
    if isinstance(command, Adopt):
        return _judged(command, person)
    return no_version(command.version, person) if person.past is None else _given_back(person.past, person)


def _unfounded(command: Adopt | GiveBack, person: Person) -> Refusal | None:
    """Why it is not to be looked at: who sent it, or what it was made for."""
    if not person.is_signed:
        return Refusal("not_signed", "it does not carry this installation's signature: see PREFSTREAM_REBUILD_KEY")
    current = person.summary.version if person.summary else 0
    if current != command.base:
        return Refusal("moved_on", f"it was made for version {command.base}, and {current or 'none'} is there")
    if person.controls.is_opted_out:
        return Refusal("opted_out", "who has opted out keeps the summary that they have")
    return None


def _judged(command: Adopt, person: Person) -> Change | Refusal:
    limits = GuardLimits(max_tokens=person.max_tokens, min_kept=0.0, min_length=_MIN_LENGTH)
    answer = Completion(command.text, "stop", completion_tokens=command.tokens)
    prompt = Prompt((Turn("system", SYSTEM),), person.max_tokens)
    kept, nevers = person.controls.kept, person.controls.nevers
    match judge(answer, prompt, person.text, limits, kept, nevers, tally=person.tally, off=person.off):
        case Rejected(reason=reason):
            return Refusal("rejected", f"a guard keeps the old text: {reason}")
        case Accepted(text, tokens):
            return Change(person.controls, text, person.tally, command.model, tokens=tokens)


def _given_back(past: KeptVersion, person: Person) -> Change:
    controls, text = person.controls, past.text
    if past.version < controls.forbade_with:
        text, _ = without_titles(text, past.tally, controls.nevers, person.max_tokens)
    text = text_without(text, speaks_of(controls.nevers), person.max_tokens)
    text = with_kept(discreet_text(text, person.off, controls.kept), controls.kept, person)
    return Change(controls, text, person.tally, past.model)
