"""MiniLM as a reader: likes and dislikes apart, and no vector computed twice, however the last run ended."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.readers import minilm
from evaluation.readers.minilm import DIMENSIONS, Likeness, MiniLMUnavailable, Vectors, sides_of, words_of
from evaluation.records import Asked, View
from tests.evaluation.readers.films import ROMANCES, WARS, catalogue, evidence_about, person

TEXT = 'Loves war. Dislikes romance. Favourites: "War 3 (1990)". Did not enjoy: "Romance 3 (1990)".'


def embed(texts: Sequence[str]) -> NDArray[np.float32]:
    """A vector of how often a text says war, and romance."""
    rows = np.array([[text.lower().count("war"), text.lower().count("romance"), 0.1] for text in texts], np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def test_likes_and_dislikes_are_told_apart() -> None:
    assert sides_of(View(TEXT)) == (
        ['Loves war. Favourites: "War 3 (1990)".'],
        ['Dislikes romance. Did not enjoy: "Romance 3 (1990)".'],
    )
    assert sides_of(View("Mixed on war.")) == ([], [])
    liked, disliked = sides_of(View(evidence=evidence_about(person("u", WARS[:2], ROMANCES[:1]))))
    assert (liked, disliked) == ([words_of(WARS[0]), "War 1 (1990) (war)"], ["Romance 0 (1990) (romance)"])


@pytest.mark.parametrize("view", [View(TEXT), View(evidence=evidence_about(person("u", WARS[3:], ROMANCES[3:])))])
def test_an_item_is_near_to_what_is_liked_and_far_from_what_is_not(view: View) -> None:
    asked = [Asked(view, WARS[0], ROMANCES[0]), Asked(view, ROMANCES[0], WARS[0]), Asked(View(), WARS[0], ROMANCES[0])]
    forward, backward, nothing = Likeness(embed).differences(asked)
    assert forward[0] > 0.5
    assert forward[1] < -0.5
    assert forward == pytest.approx(-backward)
    assert nothing == pytest.approx(0.0)
    for make in (minilm.make, minilm.make_with_prior):
        reader = make(catalogue(), embed)
        reader.fit(asked[:1] * 9, np.repeat(True, 9))
        assert reader.prefer(asked)[0] > 0.5 > reader.prefer(asked)[1]


class Computing:
    """Computes rows of a text's length, and counts them."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, texts: Sequence[str]) -> Iterator[NDArray[np.float32]]:
        for text in texts:
            self.texts.append(text)
            yield np.full((1, DIMENSIONS), float(len(text)), np.float32)


def test_no_vector_is_computed_twice_also_after_a_run_that_was_killed(tmp_path: Path) -> None:
    path, computing = tmp_path / "deep" / "vectors", Computing()
    vectors = Vectors(path, computing)
    assert vectors(["a", "bb", "a"])[:, 0].tolist() == [1.0, 2.0, 1.0]
    assert Vectors(path, computing)(["bb", "ccc"])[:, 0].tolist() == [2.0, 3.0]
    assert vectors(["ccc", "dddd"])[:, 0].tolist() == [3.0, 4.0]
    assert computing.texts == ["a", "bb", "ccc", "dddd"]
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 100)
    assert Vectors(path, computing)(["dddd", "ccc", "eeeee"])[:, 0].tolist() == [4.0, 3.0, 5.0]
    assert Vectors(path, computing)(["a", "bb", "ccc", "dddd", "eeeee"])[:, 0].tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert computing.texts == ["a", "bb", "ccc", "dddd", "dddd", "eeeee"]
    assert vectors([]).shape == (0, DIMENSIONS)


def test_without_the_engine_it_is_said_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "ENGINE_PYTHON", tmp_path / "python")
    with pytest.raises(MiniLMUnavailable, match="run make engine"):
        next(minilm.compute(["a"]))


def test_a_process_that_fails_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = tmp_path / "failing.py"
    failing.write_text("raise SystemExit('no torch')")
    monkeypatch.setattr(minilm, "EMBEDDING", failing)
    monkeypatch.setattr(minilm, "ENGINE_PYTHON", Path(shutil.which("python3") or "python3"))
    monkeypatch.setattr(minilm, "_fetched", lambda: tmp_path)
    with pytest.raises(MiniLMUnavailable, match=r"no torch.*make engine"):
        list(minilm.compute(["a"]))
