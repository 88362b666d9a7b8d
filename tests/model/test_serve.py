"""Serve on a vLLM that does not start. That it leaves none of its processes behind is seen in test_outages.py."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from model_server.profiles import FOLDER
from tests.kafka.worker_process import REPOSITORY
from tests.model.vllm_process import PROFILE, PYTHON


def test_what_vllm_refuses_is_told_in_a_sentence(tmp_path: Path) -> None:
    profile = tmp_path / "mine.toml"
    text = (FOLDER / f"{PROFILE}.toml").read_text()
    profile.write_text(re.sub("kv_cache_mib = [0-9_]+", "kv_cache_mib = 8", text))
    command = [str(PYTHON), "-m", "model_server.serve", str(profile), "--port", "0"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert "the KV cache has not room enough: raise server.kv_cache_mib" in done.stderr.splitlines()[-1]
