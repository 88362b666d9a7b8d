"""Weights are prepared once, whole or not at all, and found again without the packages that prepared them.

The conversion here writes a model in miniature instead of asking torch; tests/model does it in earnest.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from msgspec.structs import replace

from model_server import weights
from model_server.checkpoints import UnusableWeights
from model_server.profiles import Profile, load_profile
from model_server.weights import given_folder, is_prepared, prepare, prepared_folder, tokenizer_file
from tests.model_server.checkpoint import safetensors, write_adapter, write_checkpoint

GGUF = b"weights in four bits"


class Conversions:
    """What was converted, and what to do while converting."""

    def __init__(self) -> None:
        self.sources: list[tuple[Path, Path | None]] = []
        self.meanwhile: Callable[[], object] = lambda: None

    def convert(self, source: Path, adapter: Path | None, target: Path, say: Callable[[str], None]) -> None:
        self.sources.append((source, adapter))
        self.meanwhile()
        write_checkpoint(target)


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> Conversions:
    made = Conversions()
    module = ModuleType("model_server.conversion")
    vars(module).update(convert=made.convert, PACKAGES=("msgspec",))
    monkeypatch.setitem(sys.modules, "model_server.conversion", module)
    return made


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PREFSTREAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PREFSTREAM_WEIGHTS", raising=False)
    return tmp_path / "cache" / "weights"


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Profile]:
    """A profile whose weights are in an installed package, which must not be imported."""
    site = tmp_path / "site"
    (site / "tiny_weights").mkdir(parents=True)
    (site / "tiny_weights" / "__init__.py").write_text("raise ImportError('of use is only the file')")
    (site / "tiny_weights" / "tiny.gguf").write_bytes(GGUF)
    (site / "tiny_weights-1.0.dist-info").mkdir()
    (site / "tiny_weights-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(site))
    yield with_weights(package="tiny-weights==1.0", file="tiny.gguf", sha256=hashlib.sha256(GGUF).hexdigest())
    sys.modules.pop("tiny_weights", None)


def with_weights(**changes: str) -> Profile:
    profile = load_profile("smollm2-135m-cpu")
    assert profile.weights is not None
    return replace(profile, weights=replace(profile.weights, **({"package": "", "file": "", "sha256": ""} | changes)))


def test_a_packaged_model_is_converted_once(packaged: Profile, conversions: Conversions, cache: Path, tmp_path: Path) -> None:
    assert not is_prepared(packaged)
    folder = prepare(packaged)
    assert folder == prepared_folder(packaged)
    assert folder.parent == cache
    assert is_prepared(packaged)
    assert prepare(packaged, thorough=True) == folder
    assert conversions.sources == [(tmp_path / "site" / "tiny_weights" / "tiny.gguf", None)]
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_a_tokenizer_is_found_without_the_package(
    packaged: Profile, conversions: Conversions, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UnusableWeights, match=r"model_server\.weights prepare smollm2-135m-cpu"):
        tokenizer_file(packaged)
    folder = prepare(packaged)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if not path.endswith("site")])
    assert tokenizer_file(packaged) == folder / "tokenizer.json"
    assert prepare(packaged) == folder


@pytest.mark.parametrize(
    ("spoil", "is_seen_at_once"),
    [
        (lambda folder: (folder / "config.json").unlink(), True),
        (lambda folder: (folder / "model-00001-of-00002.safetensors").write_bytes(safetensors()[:-1]), True),
        (lambda folder: (folder / "tokenizer.json").write_text("[]"), True),
        (lambda folder: (folder / "prepared.json").write_text("{"), True),
        (lambda folder: (folder / "prepared.json").write_text('{"versions": {}, "files": {}}'), True),
        (lambda folder: overwrite_silently(folder / "tokenizer.json", b"[]"), False),
    ],
    ids=["file missing", "cut", "changed", "manifest broken", "manifest empty", "changed with the same time"],
)
def test_what_was_spoilt_is_prepared_again(
    packaged: Profile, conversions: Conversions, spoil: Callable[[Path], object], is_seen_at_once: bool
) -> None:
    folder = prepare(packaged)
    spoil(folder)
    assert is_prepared(packaged) is not is_seen_at_once
    prepare(packaged, thorough=True)
    assert len(conversions.sources) == 2
    assert is_prepared(packaged)


def overwrite_silently(path: Path, content: bytes) -> None:
    before = path.stat()
    assert len(content) == before.st_size
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_copied_folder_is_as_good(packaged: Profile, conversions: Conversions) -> None:
    folder = prepare(packaged)
    for path in folder.iterdir():
        os.utime(path, (0, 0))
    assert is_prepared(packaged)


def test_other_versions_write_another_folder(packaged: Profile, conversions: Conversions) -> None:
    manifest = prepare(packaged) / "prepared.json"
    text = manifest.read_text()
    assert '"msgspec": "' in text
    manifest.write_text(text.replace('"msgspec": "', '"msgspec": "0.'))
    assert not is_prepared(packaged)
    prepare(packaged)
    assert len(conversions.sources) == 2


def test_two_at_once_convert_once(packaged: Profile, conversions: Conversions) -> None:
    begun, both = threading.Event(), threading.Barrier(2)

    def other() -> None:
        begun.wait()
        both.wait()
        prepare(packaged)

    def while_converting() -> None:
        begun.set()
        both.wait()

    conversions.meanwhile = while_converting
    thread = threading.Thread(target=other)
    thread.start()
    prepare(packaged)
    thread.join()
    assert len(conversions.sources) == 1


_KILLED = """
import os, signal, sys, types
from pathlib import Path
module = types.ModuleType("model_server.conversion")
module.PACKAGES = ()
def convert(source, adapter, target, say):
    (target / "config.json").write_text("{}")
    os.kill(os.getpid(), signal.SIGKILL)
module.convert = convert
sys.modules["model_server.conversion"] = module
from tests.model_server.test_weights import with_weights
from model_server.weights import prepare
prepare(with_weights(path=sys.argv[1], adapter=sys.argv[2]))
"""


def test_a_killed_preparation_leaves_nothing_that_looks_prepared(conversions: Conversions, tmp_path: Path) -> None:
    model, adapter = write_checkpoint(tmp_path / "model"), write_adapter(tmp_path / "adapter")
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(model), str(adapter)], cwd=Path(__file__).parents[2])
    assert killed.returncode == -signal.SIGKILL
    profile = with_weights(path=str(model), adapter=str(adapter))
    folder = prepared_folder(profile)
    assert folder.with_name(folder.name + ".part").is_dir()
    assert not folder.exists()
    assert prepare(profile) == folder
    assert conversions.sources == [(model, adapter)]
    assert not folder.with_name(folder.name + ".part").exists()


def test_a_failed_conversion_is_no_preparation(packaged: Profile, conversions: Conversions) -> None:
    def fail() -> None:
        raise MemoryError

    conversions.meanwhile = fail
    with pytest.raises(MemoryError):
        prepare(packaged)
    assert not is_prepared(packaged)


def test_another_adapter_is_another_folder(tmp_path: Path, conversions: Conversions) -> None:
    model, adapter = write_checkpoint(tmp_path / "model"), write_adapter(tmp_path / "adapter")
    profile = with_weights(path=str(model), adapter=str(adapter))
    first = prepare(profile)
    (adapter / "adapter_model.safetensors").write_bytes(safetensors(32))
    assert prepared_folder(profile) != first
    (model / "tokenizer.json").write_text("{ }")
    assert prepared_folder(profile) != first


def test_a_downloaded_model_is_served_where_it_lies(tmp_path: Path, conversions: Conversions) -> None:
    model = write_checkpoint(tmp_path / "model")
    assert prepare(with_weights(), str(model)) == prepare(with_weights(path=str(model))) == model
    assert tokenizer_file(with_weights(), str(model)) == model / "tokenizer.json"
    assert conversions.sources == []


def test_the_option_comes_before_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    assert given_folder() == ""
    monkeypatch.setenv("PREFSTREAM_WEIGHTS", "there")
    assert (given_folder(), given_folder("here")) == ("there", "here")


def test_what_is_missing_is_told_with_what_to_do(packaged: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        UnusableWeights, match=r"SmolLM2-135M-Instruct is in no package: download it, .*--weights FOLDER or PREFSTREAM_WEIGHTS"
    ):
        prepare(with_weights())
    with pytest.raises(UnusableWeights, match="is no folder"):
        prepare(with_weights(path=str(tmp_path / "nowhere")))
    with pytest.raises(UnusableWeights, match="needs no weights"):
        prepared_folder(load_profile("counting"))
    monkeypatch.setitem(sys.modules, "model_server.conversion", None)
    with pytest.raises(UnusableWeights, match="run make engine"):
        prepare(packaged)


def test_another_file_than_the_profile_names_is_refused(packaged: Profile, conversions: Conversions, tmp_path: Path) -> None:
    file = tmp_path / "site" / "tiny_weights" / "tiny.gguf"
    file.write_bytes(b"others")
    with pytest.raises(UnusableWeights, match=r"its sha256 is another \(version 1\.0\)"):
        prepare(packaged)
    file.unlink()
    with pytest.raises(UnusableWeights, match=r"has no file tiny\.gguf"):
        prepare(packaged)
    with pytest.raises(UnusableWeights, match=r"the package nowhere-to-be-found==1 is not installed here: run make engine"):
        prepare(with_weights(package="nowhere-to-be-found==1", file="x", sha256="0" * 64))


def test_the_command_line_prints_the_folder_or_one_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_checkpoint(tmp_path / "model", architectures=["Qwen3ForCausalLM"], max_position_embeddings=40_960)
    weights.main(["prepare", "qwen3-8b-h100", "--weights", str(model)])
    assert capfd.readouterr().out == f"{model}\n"
    for profile, says in (("qwen3-8b-h100", "Qwen/Qwen3-8B is in no package"), ("qwen3", "no profile has this name")):
        with pytest.raises(SystemExit) as stopped:
            weights.main(["prepare", profile])
        out, err = capfd.readouterr()
        assert (stopped.value.code, out, len(err.splitlines())) == (1, "", 1)
        assert says in err
