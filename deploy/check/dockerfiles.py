"""Dockerfiles: read into what an image starts, and checked (hadolint, and our own rules). No container engine is needed."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "deploy" / "images"
_VARIABLE = re.compile(r"\$\{?(\w+)\}?")
_PINNED = re.compile(r"[^:@\s]+(:[^:@\s]*\d[^:@\s]*|@sha256:[0-9a-f]{64})\Z")


class Image(Struct, frozen=True):
    """What a container of the last stage is: ``copies`` are sources in the repository and where they lie in the image."""

    bases: tuple[str, ...]
    user: str = "root"
    folder: str = "/"
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    copies: tuple[tuple[str, str], ...] = ()
    is_watched: bool = False


def paths() -> list[Path]:
    """Every Dockerfile."""
    return sorted(IMAGES.glob("*.Dockerfile"))


def image_name(path: Path) -> str:
    """What manifests call it."""
    return f"prefstream-{path.name.removesuffix('.Dockerfile')}"


def read_image(text: str) -> Image:
    """The image that a Dockerfile makes."""
    image, variables, bases = Image(()), dict[str, str](), list[str]()
    for word, rest in instructions(text):
        if word == "ARG" and "=" in rest:
            name, _, value = rest.partition("=")
            variables[name] = value
        elif word == "FROM":
            bases.append(_filled(rest.split()[0], variables))
            image = Image(tuple(bases))
        else:
            image = _after(image, word, rest)
    return image


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Each instruction and what follows it, on one line."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    for line in filter(str.strip, joined.splitlines()):
        word, _, rest = line.strip().partition(" ")
        yield word.upper(), rest.strip()


def _after(image: Image, word: str, rest: str) -> Image:
    match word:
        case "USER":
            return replace(image, user=rest)
        case "WORKDIR":
            return replace(image, folder=rest)
        case "CMD":
            return replace(image, command=tuple(json.loads(rest)))
        case "HEALTHCHECK":
            return replace(image, is_watched=True)
        case "ENV":
            pairs = (pair.partition("=")[::2] for pair in shlex.split(rest))
            return replace(image, environment={**image.environment, **dict(pairs)})
        case "COPY" if not rest.startswith("--from"):
            *sources, target = rest.split()
            return replace(image, copies=(*image.copies, *((source, target) for source in sources)))
        case _:
            return image


def _filled(text: str, variables: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda found: variables.get(found[1], ""), text)


def problems() -> Iterator[str]:
    """What is wrong with any of them."""
    for path in paths():
        yield from hadolint(path)
        yield from (f"{path.relative_to(ROOT)}: {sentence}" for sentence in rule_problems(path.read_text()))


def hadolint(path: Path) -> list[str]:
    """What hadolint says."""
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([linter, "--no-color", path.relative_to(ROOT)], cwd=ROOT, capture_output=True, text=True)
    return [*done.stdout.splitlines(), *done.stderr.splitlines()]


def rule_problems(text: str) -> Iterator[str]:
    """Our own rules, which no linter has: nobody is root by number, all is pinned, and what is copied is there."""
    image = read_image(text)
    user = image.user.partition(":")[0]
    if not user.isdecimal() or int(user) == 0:
        yield f"USER {image.user}: write a number other than 0: Kubernetes cannot see of a name that it is not root"
    yield from (f"FROM {base}: pin a version, or a digest" for base in image.bases if not _PINNED.match(base))
    if not image.command:
        yield "CMD: missing, or not written as a list"
    if not image.is_watched:
        yield "HEALTHCHECK: missing"
    yield from (f"COPY {source}: {why}" for word, rest in instructions(text) for source, why in _uncopied(word, rest))


def _uncopied(word: str, rest: str) -> Iterator[tuple[str, str]]:
    if word != "COPY" or rest.startswith("--from"):
        return
    for source in rest.split()[:-1]:
        if not (ROOT / source).exists():
            yield source, "not in the repository"
        elif not _reaches_the_builder(source):
            yield source, "left out by .dockerignore"


def _reaches_the_builder(source: str) -> bool:
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    kept = False
    for rule in filter(None, (line.partition("#")[0].strip() for line in rules)):
        pattern = rule.removeprefix("!").rstrip("/")
        if fnmatch(source, pattern) or fnmatch(source.split("/")[0], pattern):
            kept = rule.startswith("!")
    return kept
