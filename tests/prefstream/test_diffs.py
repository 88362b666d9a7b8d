"""The marks on a text say exactly what changed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from prefstream.diffs import ADDED, REMOVED, changed_words, has_colours, marked


def without(text: Text, style: str) -> str:
    """What is left of ``text`` when everything in this style is taken out."""
    cut = {index for span in text.spans if span.style == style for index in range(span.start, span.end)}
    return "".join(char for index, char in enumerate(text.plain) if index not in cut)


def bare(text: str) -> list[str]:
    """Its words, without the marks that end them."""
    return [word.rstrip(".") or "." for word in text.split()]


def in_style(text: Text) -> str:
    """The text with ``+added+`` and ``-removed-`` around what is styled."""
    marks = {ADDED: "+", REMOVED: "-"}
    shown, place = "", 0
    for span in text.spans:
        mark = marks[str(span.style)]
        shown += text.plain[place : span.start] + mark + text.plain[span.start : span.end] + mark
        place = span.end
    return shown + text.plain[place:]


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        ("", "", ""),
        ("", "Likes horror.", "+Likes horror.+"),
        ("Likes horror.", "", "-Likes horror. -"),
        ("Likes horror.", "Likes horror.", "Likes horror."),
        ("Likes horror films.", "Loves horror films.", "-Likes -+Loves +horror films."),
        ("a b c", "x y z", "-a b c -+x y z+"),
        ("a b", "a", "a- b -"),
        ("a", "a b", "a +b+"),
        ("a b", "a\nb", "a\nb"),
        ("[red]a[/red]", "[red]b[/red]", "-[red]a[/red] -+[red]b[/red]+"),
        ('"Heat"; "Alien".', '"Heat"; "Alien"; "Solaris".', '"Heat"; "Alien"; +"Solaris".+'),
        ("Loves action and comedy.", "Loves comedy and action.", "Loves +comedy and +action.- and comedy. -"),
        ("Likes horror", "Likes horror.", "Likes -horror -+horror.+"),
        ("a . b", "a b", "a -. -b"),
    ],
)
def test_words_are_marked(old: str, new: str, shown: str) -> None:
    assert in_style(changed_words(old, new)) == shown


@given(old=st.text(alphabet="ab. \n"), new=st.text(alphabet="ab. \n"))
def test_taking_out_a_colour_gives_one_of_the_two_texts(old: str, new: str) -> None:
    text = changed_words(old, new)
    assert without(text, REMOVED) == new
    assert bare(without(text, ADDED)) == bare(old)
    assert text.spans or old.split() == new.split()


@pytest.mark.parametrize(
    ("old", "new", "marks"),
    [
        ("Loves drama.", "Loves drama.", "Loves drama."),
        ("Loves drama and war.", "Loves crime and war.", "Loves [-drama-] {+crime+} and war."),
        ("Loves drama.", "Loves drama. Likes war.", "Loves drama. {+Likes war.+}"),
        ("Loves drama. Likes war.", "Loves drama.", "Loves drama. [-Likes war.-] "),
    ],
)
def test_without_colours_changes_are_marked(old: str, new: str, marks: str) -> None:
    assert marked(changed_words(old, new)) == marks


@pytest.mark.parametrize(
    ("is_terminal", "environment", "can_tell"),
    [
        (True, {"TERM": "xterm-256color"}, True),
        (False, {"TERM": "xterm-256color"}, False),
        (True, {"TERM": "dumb"}, False),
        (True, {"TERM": "xterm-256color", "NO_COLOR": "1"}, False),
    ],
)
def test_colours_are_there_only_where_they_are_seen(is_terminal: bool, environment: dict[str, str], can_tell: bool) -> None:
    assert has_colours(Console(force_terminal=is_terminal, _environ=environment)) == can_tell
