"""Weights: finds what a profile needs, converts it once, and checks it before every use (profile → **weights** → serve).

A prepared folder is complete or absent: it is written beside its place, with a manifest of its files, and renamed. Nothing
here imports torch, so that a worker can ask where the tokenizer of its model lies; converting is in `conversion`.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from model_server.checkpoints import UnusableWeights, check_adapter, check_checkpoint
from model_server.locks import locked
from model_server.profiles import InvalidProfile, Profile, Weights, load_profile

VARIABLE = "PREFSTREAM_WEIGHTS"
MANIFEST = "prepared.json"
# Part of the key: to be raised when what a conversion writes changes.
LAYOUT = 1
_MIB = 1024 * 1024


class _File(Struct, frozen=True):
    num_bytes: int
    mtime_ns: int
    sha256: str


class _Manifest(Struct, frozen=True):
    """What a prepared folder has to hold; the versions are those of the packages that wrote it."""

    versions: dict[str, str]
    files: dict[str, _File]


def given_folder(option: str | None = None) -> str:
    """The folder with weights that somebody named: by an option, else by PREFSTREAM_WEIGHTS; empty when nobody did."""
    return option or os.environ.get(VARIABLE, "")


def cache_folder() -> Path:
    """Where prepared weights are kept between runs: ``$PREFSTREAM_CACHE`` or ``.cache``, then ``weights``."""
    root = os.environ.get("PREFSTREAM_CACHE") or Path(__file__).resolve().parents[1] / ".cache"
    return Path(root).resolve() / "weights"


def prepared_folder(profile: Profile, given: str = "") -> Path:
    """Where the profile's weights and tokenizer lie once they are prepared; it need not exist yet.

    ``given`` is a folder named by the user. Raises `UnusableWeights` for a profile that leaves the folder to the user, when
    none is given, and for an engine without weights.
    """
    weights = _weights(profile)
    source = _source_folder(weights, given)
    if source is not None and not weights.adapter:
        return source
    origin = weights.sha256 if source is None else _fingerprint(source)
    adapter = _digest_all(_adapter_files(Path(weights.adapter))) if weights.adapter else ""
    key = hashlib.sha256(f"{LAYOUT} {origin} {adapter}".encode()).hexdigest()[:12]
    return cache_folder() / f"{weights.model.rsplit('/')[-1]}-{key}"


def tokenizer_file(profile: Profile, given: str = "") -> Path:
    """The tokenizer.json of the profile's model. Raises `UnusableWeights` when it is not there, with what to do."""
    file = prepared_folder(profile, given) / "tokenizer.json"
    if not file.is_file():
        raise UnusableWeights(f"{file} is not there: {_how_to_prepare(profile)}")
    return file


def is_prepared(profile: Profile, given: str = "") -> bool:
    """Whether `prepare` would have nothing to do but to check."""
    folder = prepared_folder(profile, given)
    return not _needs_work(_weights(profile)) or _fault(folder, thorough=False) is None


def prepare(profile: Profile, given: str = "", *, thorough: bool = False) -> Path:
    """The folder that vLLM can serve: converted and merged now if need be, and checked.

    ``thorough`` reads every byte again; otherwise sizes and times are compared. Two processes at once do the work once.
    Raises `UnusableWeights` with what to do.
    """
    weights, folder = _weights(profile), prepared_folder(profile, given)
    if _needs_work(weights):
        with locked(folder.with_name(folder.name + ".lock")):
            fault = _fault(folder, thorough=thorough)
            if fault is not None:
                say(f"Preparing {weights.model} in {folder} ({fault}) ...")
                _make(profile, _source_folder(weights, given), folder)
    check_checkpoint(folder, profile)
    return folder


def say(line: str) -> None:
    """Tell the person at the terminal; standard output is kept for the answer."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _weights(profile: Profile) -> Weights:
    if profile.weights is None:
        raise UnusableWeights(f"the profile {profile.name} needs no weights")
    return profile.weights


def _needs_work(weights: Weights) -> bool:
    return bool(weights.package or weights.adapter)


def _source_folder(weights: Weights, given: str) -> Path | None:
    """The folder of the model as it came, None when it comes in a package."""
    if weights.package:
        return None
    if not (given or weights.path):
        raise UnusableWeights(
            f"{weights.model} is in no package: download it, with config.json, tokenizer.json and every *.safetensors, and "
            f"name its folder with --weights FOLDER or {VARIABLE}=FOLDER, or as weights.path in a profile of your own"
        )
    return Path(given or weights.path).resolve()


def _how_to_prepare(profile: Profile) -> str:
    if _needs_work(_weights(profile)):
        return f"run .venv-engine/bin/python -m model_server.weights prepare {profile.name} (after make engine)"
    return "a tokenizer.json belongs beside the weights"


def _fault(folder: Path, *, thorough: bool) -> str | None:
    """Why the prepared folder cannot be used, None when it can."""
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=_Manifest)
    except FileNotFoundError:
        return "not there yet"
    except (OSError, msgspec.MsgspecError, RecursionError) as error:
        return f"{MANIFEST} cannot be read: {error}"
    if not manifest.files:
        return f"{MANIFEST} names no file"
    installed = _versions(manifest.versions)
    changed = [
        f"{name} {old} → {installed[name]}" for name, old in manifest.versions.items() if installed.get(name, old) != old
    ]
    if changed:
        return f"written by other versions: {', '.join(changed)}"
    return next((fault for name, file in manifest.files.items() if (fault := _fault_of(folder / name, file, thorough))), None)


def _fault_of(path: Path, file: _File, thorough: bool) -> str | None:
    if not path.is_file():
        return f"{path.name} is missing"
    found = path.stat()
    if found.st_size != file.num_bytes:
        return f"{path.name} has {found.st_size} bytes instead of {file.num_bytes}"
    # A copied folder has other times and the same bytes.
    if (thorough or found.st_mtime_ns != file.mtime_ns) and _digest(path) != file.sha256:
        return f"{path.name} is not what was written"
    return None


def _make(profile: Profile, source: Path | None, folder: Path) -> None:
    weights = _weights(profile)
    package = _packaged_file(weights) if source is None else None
    if source is not None:
        check_checkpoint(source, profile)
    if weights.adapter:
        check_adapter(Path(weights.adapter))
    conversion = _conversion()
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    with _telling() as tell:
        conversion.convert(package or source or folder, Path(weights.adapter) if weights.adapter else None, part, tell)
        tell("computing checksums")
        _write_manifest(part, conversion.PACKAGES)
    # What was there is not complete, or of other versions: between the two lines there is nothing, which is prepared again.
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
    say(f"{weights.model} is in {folder}.")


@contextmanager
def _telling() -> Iterator[Callable[[str], None]]:
    """Tells the steps: each with a clock on a terminal, each as a line where nobody looks."""
    if not sys.stderr.isatty():
        yield lambda step: say(f"  {step}")
        return
    columns = (SpinnerColumn(finished_text="✓"), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:

        def finish() -> None:
            for task in progress.task_ids:
                progress.update(task, completed=1)

        def tell(step: str) -> None:
            finish()
            progress.add_task(step, total=1)

        yield tell
        finish()


def _conversion() -> ModuleType:
    """Imported when there is something to convert, because it imports torch."""
    # Before transformers is imported: it would ask its hub about a folder that lacks a file.
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TQDM_DISABLE"] = "1"  # its bars would run through our own
    try:
        return import_module("model_server.conversion")
    except ImportError as missing:
        problem = f"{missing.name} is not installed here"
    raise UnusableWeights(f"{problem}: run make engine, and use .venv-engine/bin/python")


def _packaged_file(weights: Weights) -> Path:
    """The weights' file in its package, which is not imported: all that it has of use is the file."""
    name, _, wanted = weights.package.partition("==")
    try:
        installed = version(name)
        spec = find_spec(name.replace("-", "_"))
    except PackageNotFoundError:
        installed, spec = "", None
    if spec is None or spec.origin is None:
        raise UnusableWeights(
            f"the package {weights.package} is not installed here: run make engine, and use .venv-engine/bin/python"
        )
    file = Path(spec.origin).parent / weights.file
    if not file.is_file():
        raise UnusableWeights(
            f"{weights.package} has no file {weights.file} (version {installed} is installed, {wanted} wanted)"
        )
    if _digest(file) != weights.sha256:
        raise UnusableWeights(f"{file} is not the file that the profile names: its sha256 is another (version {installed})")
    return file


def _write_manifest(folder: Path, packages: Iterable[str]) -> None:
    files = {
        path.name: _File(found.st_size, found.st_mtime_ns, _digest(path))
        for path in sorted(folder.iterdir())
        if (found := path.stat())
    }
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(_Manifest(_versions(packages), files))))


def _versions(packages: Iterable[str]) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _fingerprint(folder: Path) -> str:
    """What tells one downloaded model from another without reading 16 GB: names, sizes, times, and the small files."""
    try:
        files = sorted(path for path in folder.iterdir() if path.is_file())
        large = [f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in files if path.stat().st_size > _MIB]
        small = _digest_all([path for path in files if path.stat().st_size <= _MIB])
    except OSError as error:
        raise UnusableWeights(f"{folder} cannot be read: {error.strerror}") from None
    return hashlib.sha256("\n".join([str(folder), small, *large]).encode()).hexdigest()


def _adapter_files(adapter: Path) -> list[Path]:
    check_adapter(adapter)
    return [adapter / "adapter_config.json", adapter / "adapter_model.safetensors"]


def _digest_all(paths: Iterable[Path]) -> str:
    return hashlib.sha256("".join(f"{path.name} {_digest(path)}\n" for path in paths).encode()).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_EXAMPLES = f"""\
examples:
  .venv-engine/bin/python -m model_server.weights prepare smollm2-135m-cpu
  .venv-engine/bin/python -m model_server.weights prepare smollm2-135m-cpu --verify    # reads every byte again
  .venv-engine/bin/python -m model_server.weights prepare qwen3-8b-h100 --weights ~/models/Qwen3-8B
  {VARIABLE}=~/models/Qwen3-8B .venv-engine/bin/python -m model_server.weights prepare qwen3-8b-h100

The folder that a server can read is printed on standard output. Prepared weights are kept in .cache/weights
(PREFSTREAM_CACHE); nothing is fetched from anywhere."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: prints the folder, or says on one line what is missing and what to do (exit code 1)."""
    parser = argparse.ArgumentParser(
        prog="python -m model_server.weights",
        description="Find the weights of a profile, convert them if need be, and check them.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=["prepare"])
    parser.add_argument("profile", help="the name of a profile, or the path of one of yours")
    parser.add_argument("--weights", metavar="FOLDER", help=f"where the model was downloaded to (default: {VARIABLE})")
    parser.add_argument("--verify", action="store_true", help="read every byte of prepared weights again")
    options = parser.parse_args(arguments)
    try:
        folder = prepare(load_profile(options.profile), given_folder(options.weights), thorough=options.verify)
    except (InvalidProfile, UnusableWeights) as wrong:
        parser.exit(1, f"{wrong}\n")
    except KeyboardInterrupt:
        parser.exit(130, "stopped; what was begun is not used\n")
    sys.stdout.write(f"{folder}\n")


if __name__ == "__main__":
    main()
