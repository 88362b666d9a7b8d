"""Resolves Apache Kafka with Maven into the cache folder, once: the first step of `make setup` that needs Java."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from model_server.locks import locked

FOLDER = Path(__file__).resolve().parent
POM = FOLDER / "pom.xml"
OLDEST_JAVA = 17
OR_USE_YOURS = "or set PREFSTREAM_BOOTSTRAP_SERVERS to the address of a broker you have"


class KafkaUnavailable(Exception):
    """Kafka cannot run here; the message is one sentence for a person, with the fix."""


def cache_folder() -> Path:
    """Where everything about Kafka is kept between runs: ``$PREFSTREAM_CACHE`` or ``.cache``, then ``kafka``."""
    return Path(os.environ.get("PREFSTREAM_CACHE") or FOLDER.parents[1] / ".cache").resolve() / "kafka"


def prepare() -> Path:
    """The folder of Kafka's jars, resolved now if need be (about 45 MB, the first time only).

    Raises KafkaUnavailable without Java 17 or newer, or, while the jars are missing, without Maven or its repository.
    """
    _require_java()
    version = kafka_version()
    jars = cache_folder() / version
    if jars.is_dir():
        return jars
    with locked(jars.with_name(f"{version}.lock")):
        if not jars.is_dir():
            _resolve(version, jars)
    return jars


def kafka_version() -> str:
    """The version of Kafka that the pom asks for."""
    return ElementTree.parse(POM).findtext("properties/kafka.version", default="")


def say(line: str, end: str = "\n") -> None:
    """Tell the person at the terminal; standard output is kept for what a shell evaluates."""
    print(line, end=end, file=sys.stderr, flush=True)


def _require_java() -> None:
    java = shutil.which("java")
    answer = subprocess.run([java, "-version"], capture_output=True, text=True).stderr if java else ""
    version = re.search(r'version "((\d+)[^"]*)', answer)
    if version is None:
        raise KafkaUnavailable(f"Java is missing: install Java {OLDEST_JAVA} or newer, {OR_USE_YOURS}.")
    if int(version[2]) < OLDEST_JAVA:
        raise KafkaUnavailable(f"Java {version[1]} is too old: install Java {OLDEST_JAVA} or newer, {OR_USE_YOURS}.")


def _resolve(version: str, jars: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise KafkaUnavailable(f"Maven is missing: install it (the command mvn) to fetch Kafka {version}, {OR_USE_YOURS}.")
    say(f"Fetching Apache Kafka {version} with Maven, once (about 45 MB) ...")
    # Renamed when complete, so that a run that was stopped leaves nothing that looks resolved.
    part = jars.with_name(f"{version}.part")
    shutil.rmtree(part, ignore_errors=True)
    _copy_with_maven(maven, part)
    part.rename(jars)
    say(f"Apache Kafka {version} is in {jars}.")


def _copy_with_maven(maven: str, folder: Path) -> None:
    """Fill ``folder`` with Kafka and its runtime dependencies, counting downloads on the terminal."""
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder}"]
    # --update-snapshots also tries again what failed to download in an earlier run.
    command = [maven, "--batch-mode", "--update-snapshots", "--file", str(POM), *goal]
    errors, num_downloaded = [], 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout or ():
            errors += [line.strip()] if "ERROR" in line else []
            num_downloaded += "Downloaded from" in line
            if sys.stderr.isatty():
                say(f"\r  {num_downloaded} files downloaded ", end="")
    if sys.stderr.isatty():
        say("")
    if process.returncode != 0:
        reason = errors[0] if errors else f"exit status {process.returncode}"
        raise KafkaUnavailable(f"Maven could not fetch Kafka ({reason}): check the network and try again, {OR_USE_YOURS}.")
