"""What is said of an exception says where and what kind, and never the value that it is about."""

from __future__ import annotations

import msgspec
import pytest

from agents.defects import traceback_of, words_of
from prefstream.errors import InvalidRecord


@pytest.mark.parametrize(
    "error",
    [
        KeyError(b"ada"),
        ValueError("ada is no number"),
        UnicodeDecodeError("utf-8", b"ada", 0, 1, "ada"),
        msgspec.ValidationError("ada"),
        InvalidRecord("user: expected `str`, got `int` (ada)", "invalid"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_words_that_are_the_value_itself_are_left_out(error: Exception) -> None:
    assert words_of(error) == ""
    assert traceback_of(error).endswith(type(error).__name__)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("the broker"), TimeoutError("in 10 s")])
def test_words_of_the_machine_stay(error: Exception) -> None:
    assert words_of(error) == str(error)
    assert traceback_of(error).endswith(f"{type(error).__name__}: {error}")


def find(user: str) -> None:
    try:
        raise KeyError(user)
    except KeyError as error:
        raise RuntimeError("no such user") from error


def test_what_an_error_came_of_is_told_first_and_by_the_same_rule() -> None:
    with pytest.raises(RuntimeError) as raised:
        find("ada")
    told = traceback_of(raised.value)
    assert [line for line in told.splitlines() if line[:1] not in (" ", "")] == [
        "Traceback (most recent call last):",
        "KeyError",
        "and then:",
        "Traceback (most recent call last):",
        "RuntimeError: no such user",
    ]
