"""compose.yaml: checked against the schema of the Compose specification, and for what it refers to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from deploy.check.dockerfiles import ROOT, read_image

COMPOSE = ROOT / "deploy" / "compose.yaml"
_DEFAULTED = re.compile(r"\$\{(\w+):-([^}]*)\}")
_PINNED = re.compile(r"[^:@\s]+(:v?\d[^:@\s]*|@sha256:[0-9a-f]{64})\Z")


def read_compose(text: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """The file with its variables filled in: ``${NAME:-default}``."""
    return dict(_filled(yaml.safe_load(text), environment))


def _filled(held: Any, environment: Mapping[str, str]) -> Any:
    match held:
        case dict():
            return {name: _filled(value, environment) for name, value in held.items()}
        case list():
            return [_filled(value, environment) for value in held]
        case str():
            return _DEFAULTED.sub(lambda found: environment.get(found[1]) or found[2], held)
        case _:
            return held


def problems() -> Iterator[str]:
    """What is wrong with it."""
    held = read_compose(COMPOSE.read_text(), {})
    for sentence in (*schema_problems(held), *reference_problems(held, COMPOSE.parent)):
        yield f"{COMPOSE.relative_to(ROOT)}: {sentence}"


def schema_problems(held: Mapping[str, Any]) -> Iterator[str]:
    """What the specification does not know, by its schema as check-jsonschema carries it."""
    # As a file: importing the package would load all of its command line.
    carried = distribution("check-jsonschema").locate_file("check_jsonschema/builtin_schemas/vendor/compose-spec.json")
    schema = json.loads(Path(str(carried)).read_text())
    for error in Draft202012Validator(schema).iter_errors(held):
        yield f"{'.'.join(map(str, error.absolute_path))}: {error.message}"


def reference_problems(held: Mapping[str, Any], folder: Path) -> Iterator[str]:
    """Names and paths that lead nowhere, and images that are not pinned; what it starts is of our own images."""
    services: Mapping[str, Mapping[str, Any]] = held["services"]
    for name, service in services.items():
        for sentence in _service_problems(service, services, held.get("volumes", {}), folder):
            yield f"services.{name}: {sentence}"


def _service_problems(
    service: Mapping[str, Any], services: Mapping[str, Any], volumes: Mapping[str, Any], folder: Path
) -> Iterator[str]:
    yield from (f"depends_on: no service {name}" for name in service.get("depends_on", {}) if name not in services)
    for mount in service.get("volumes", ()):
        source = mount.split(":")[0]
        is_there = (folder / source).exists() if source.startswith(".") else source in volumes
        if not is_there:
            yield f"volumes: {source} is not there"
    build = service.get("build")
    if build is None:
        if not _PINNED.match(service["image"]):
            yield f"image: {service['image']}: pin a version"
        return
    path = folder / build["context"] / build["dockerfile"]
    if not path.is_file():
        yield f"build.dockerfile: {build['dockerfile']} is not there"
    elif service["image"] != f"prefstream-{path.name.removesuffix('.Dockerfile')}":
        yield f"image: {service['image']} is built of {path.name}"
    elif not read_image(path.read_text()).command:
        yield f"build.dockerfile: {path.name} starts nothing"
