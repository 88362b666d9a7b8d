"""compose.yaml: checked against the schema of the Compose specification, and for what it refers to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import distribution
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from deploy.check import given
from deploy.check.dockerfiles import ROOT, read_image
from deploy.check.kubernetes import stop_seconds

COMPOSE = ROOT / "deploy" / "compose.yaml"
_DEFAULTED = re.compile(r"\$\{(\w+):-([^}]*)\}")
_NUMBERS = re.compile(r"\d+")
_GRACE = 10  # what Compose gives where nothing is said
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
    yield from _mounted_problems(service, folder)
    yield from (f"environment: {sentence}" for sentence in _asked_problems(service, services))
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
    else:
        yield from _process_problems(service, path)


def _process_problems(service: Mapping[str, Any], dockerfile: Path) -> Iterator[str]:
    """What one of our processes is given, and how long it may take to end."""
    image = read_image(dockerfile.read_text())
    variables = {**image.environment, **{name: text for name, text in service.get("environment", {}).items() if text}}
    if "environment" in service:
        yield from (f"environment: {sentence}" for sentence in given.problems(variables))
    grace = float(str(service.get("stop_grace_period", _GRACE)).removesuffix("s"))
    needed = 0.0 if "entrypoint" in service else stop_seconds(service.get("command", image.command), variables)
    if needed and grace <= needed:
        yield f"stop_grace_period: more than the {needed:g} s that it takes to end"


def _asked_problems(service: Mapping[str, Any], services: Mapping[str, Any]) -> Iterator[str]:
    """Kafka and models are services of this file, and listen where they are asked."""
    held = service.get("environment", {})
    for name in ("PREFSTREAM_BOOTSTRAP_SERVERS", "PREFSTREAM_MODEL_URL"):
        for address in filter(None, held.get(name, "").split(",")):
            host, _, port = address.partition("//")[2].rpartition(":") if "//" in address else address.rpartition(":")
            if host not in services:
                yield f"{name}: no service {host}"
            elif port not in _NUMBERS.findall(str({**services[host], "ports": ()})):
                yield f"{name}: {host} does not listen on {port}"


def _mounted_problems(service: Mapping[str, Any], folder: Path) -> Iterator[str]:
    """Rules and folders that a mounted configuration names are mounted too."""
    targets = {mount.split(":")[1]: folder / mount.split(":")[0] for mount in service.get("volumes", ())}
    for target, source in targets.items():
        if source.suffix not in (".yml", ".yaml") or not source.is_file():
            continue
        held = yaml.safe_load(source.read_text())
        wanted = [str(PurePosixPath(target).parent / name) for name in held.get("rule_files", ())]
        wanted += [one["options"]["path"] for one in held.get("providers", ())]
        yield from (f"volumes: {source.name} names {path}, where nothing is" for path in wanted if path not in targets)
