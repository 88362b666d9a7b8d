"""What `prefstream rebuild` wants to know before it asks anybody."""

from __future__ import annotations

import pytest

from prefstream.cli.rebuild import SECRET, _secret
from prefstream.errors import CannotRebuild


def test_the_secret_is_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECRET, "a secret of an installation")
    assert _secret("t") == "a secret of an installation"


@pytest.mark.parametrize(
    ("secret", "why"),
    [
        ("", "give this command and the workers of t the same, of 16 characters or more"),
        ("fifteen letters", "of 16 characters or more"),
        ("bytes by chance \udcff", "it is no UTF-8: write a secret as text"),
    ],
)
def test_what_no_worker_has_as_a_secret_is_refused(monkeypatch: pytest.MonkeyPatch, secret: str, why: str) -> None:
    monkeypatch.setenv(SECRET, secret)
    with pytest.raises(CannotRebuild, match=why):
        _secret("t")
