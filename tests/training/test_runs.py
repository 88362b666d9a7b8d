"""A run goes on as what it was begun as, from the last checkpoint that is whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.runs import AnotherRun, Settings, last_checkpoint, prepare_run


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    path = tmp_path / "examples.jsonl"
    path.write_text("{}\n{}\n{}\n")
    return path


def test_a_run_goes_on_with_the_same_examples_and_settings(tmp_path: Path, examples: Path) -> None:
    run = prepare_run(tmp_path / "run", examples, Settings())
    assert run.num_examples == 3
    assert prepare_run(tmp_path / "run", examples, Settings()) == run


def test_it_reads_the_first_examples_only(tmp_path: Path, examples: Path) -> None:
    assert prepare_run(tmp_path / "run", examples, Settings(most=2)).num_examples == 2


def test_a_folder_of_another_run_is_left_alone(tmp_path: Path, examples: Path) -> None:
    prepare_run(tmp_path / "run", examples, Settings())
    with pytest.raises(AnotherRun, match=r"other settings: rank 16, not 8; name another folder with --run"):
        prepare_run(tmp_path / "run", examples, Settings(rank=8))
    examples.write_text("{}\n")
    with pytest.raises(AnotherRun, match=r"other examples"):
        prepare_run(tmp_path / "run", examples, Settings())


def test_a_checkpoint_that_was_not_finished_is_none(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path) is None
    for number, whole in ((9, True), (10, True), (30, False)):
        folder = tmp_path / f"checkpoint-{number}"
        folder.mkdir()
        if whole:
            (folder / "trainer_state.json").touch()
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
