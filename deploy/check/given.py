"""What a process is given: variables that are settings, values that a worker takes, files that are there, no open secret."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any, cast, get_args

from pydantic import SecretStr, ValidationError

from agents.effective import unknown_variables
from agents.settings import PREFIX, Settings
from prefstream.security import mistakes

SECRETS = {PREFIX + name.upper() for name, field in Settings.model_fields.items() if SecretStr in get_args(field.annotation)}
_FILES = ("_CA_FILE", "_CERTIFICATE_FILE", "_KEY_FILE")
_ELSEWHERE = {"ca_file", "certificate_file", "key_file"}  # files of the container, which nobody reads here
_SOME_TEXT = "a-text-that-is-not-known-here-of-32"

Variables = Mapping[str, str]


def of_container(container: Mapping[str, Any], maps: Mapping[str, Variables], image: Variables) -> dict[str, str]:
    """All that a container is given. What only the cluster knows is some text; a secret that may be missing is."""
    given = dict(image)
    for source in container.get("envFrom", ()):
        given |= maps.get(source.get("configMapRef", {}).get("name"), {})
    for variable in container.get("env", ()):
        reference: Mapping[str, Any] = next(iter(variable.get("valueFrom", {}).values()), {})
        if not reference.get("optional"):
            given[variable["name"]] = variable.get("value", _SOME_TEXT)
    return given


def problems(variables: Variables) -> Iterator[str]:
    """Names that are no settings, and values with which no worker would start."""
    yield from unknown_variables(variables)
    given = {name: text for name, text in variables.items() if text and not name.endswith(_FILES)}
    named = {name: given[PREFIX + name.upper()] for name in Settings.model_fields if PREFIX + name.upper() in given}
    try:
        settings = Settings(**cast(Any, named))
    except ValidationError as error:
        for one in error.errors():
            yield f"{PREFIX}{str(one['loc'][0]).upper()}: {one['msg'].removeprefix('Value error, ')}"
        return
    for name, sentence in mistakes(settings.brokers.security):
        if name not in _ELSEWHERE:
            yield f"{PREFIX}KAFKA_{name.upper()}: {sentence}"


def open_secrets(variables: Variables) -> Iterator[str]:
    """Secrets whose value is written here."""
    yield from (f"{name} by secretKeyRef, and never by its value" for name in sorted(SECRETS & set(variables)))


def unmounted(variables: Variables, folders: Mapping[str, str]) -> Iterator[str]:
    """Files and the folder of the tables that are not in any of the mounted ``folders``."""
    for name, text in variables.items():
        is_place = name == f"{PREFIX}DATA_DIRECTORY" or (name.startswith(PREFIX) and name.endswith(_FILES))
        if is_place and text and not any(PurePath(text).is_relative_to(folder) for folder in folders):
            yield f"{name}: {text} is in nothing that is mounted"
