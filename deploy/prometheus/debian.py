"""Finds Prometheus' programs: those on the PATH, or those of Debian's package, unpacked into the cache without being installed.

Place in the flow: below the tests of the rules and of the dashboards. The package is asked for by its name, of whatever mirror
apt is set up with; neither root nor an installation is needed. Debian 12 has 2.42.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from model_server.locks import locked

PACKAGE = "prometheus"
Program = Literal["prometheus", "promtool"]
_APT_SECONDS = 300


class PrometheusUnavailable(Exception):
    """Prometheus cannot be had here; the message says why, and the fix."""


def program(name: Program) -> Path:
    """The path of a program, fetched now if need be (20 MB, the first time only). Raises PrometheusUnavailable."""
    installed = shutil.which(name)
    if installed:
        return Path(installed)
    folder = cache_folder()
    if not (folder / "usr/bin" / name).exists():
        with locked(folder.with_suffix(".lock")):
            if not (folder / "usr/bin" / name).exists():
                _fetch(folder)
    return folder / "usr/bin" / name


def main() -> int:
    """``python -m deploy.prometheus.debian``: has both programs, or says why not. Returns the exit status."""
    try:
        names: tuple[Program, ...] = ("prometheus", "promtool")
        print(*(program(name) for name in names), sep="\n")
    except PrometheusUnavailable as reason:
        print(reason, file=sys.stderr)
        return 1
    return 0


def cache_folder() -> Path:
    """Where the package is unpacked: ``$PREFSTREAM_CACHE`` or ``.cache``, then ``prometheus``."""
    return Path(os.environ.get("PREFSTREAM_CACHE") or Path(__file__).parents[2] / ".cache").resolve() / "prometheus"


def _fetch(folder: Path) -> None:
    missing = [name for name in ("apt-get", "dpkg") if shutil.which(name) is None]
    if missing:
        raise PrometheusUnavailable(
            f"no {missing[0]} here: install Prometheus, so that prometheus and promtool are on the PATH"
        )
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    _download(part)
    [package] = part.glob("*.deb")
    _run(["dpkg", "--extract", str(package), str(part)])
    package.unlink()
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def _download(folder: Path) -> None:
    """The package, by what apt knows of its mirrors; a machine that has never asked them is told in a folder of our own."""
    try:
        _run(["apt-get", "download", PACKAGE], folder)
    except PrometheusUnavailable:
        lists = folder / "lists"
        (lists / "partial").mkdir(parents=True)
        ours = ["-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={folder / 'apt'}"]
        _run(["apt-get", *ours, "update"], folder)
        _run(["apt-get", *ours, "download", PACKAGE], folder)
        shutil.rmtree(lists)


def _run(command: Sequence[str], folder: Path | None = None) -> None:
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=_APT_SECONDS)
    except (subprocess.SubprocessError, OSError) as error:
        said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
        why = said[-1] if said else type(error).__name__
        raise PrometheusUnavailable(f"{' '.join(command[:3])}: {why}; or install Prometheus yourself") from None


if __name__ == "__main__":
    sys.exit(main())
