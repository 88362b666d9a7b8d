"""What our profiles say is what vLLM understands: its own parser reads every one of them, and nothing is started."""

from __future__ import annotations

import subprocess

import pytest

from model_server.profiles import load_profile, profile_names
from tests.kafka.worker_process import REPOSITORY
from tests.model.vllm_process import PROFILE, PYTHON

# All in one process: importing vLLM takes longer than the rest.
_EACH = """
import sys
from model_server import serve
refused = [sys.argv[1], "--dry-run", "--", "--max-num-seqs", "many"]
for arguments in [*([name, "--dry-run"] for name in sys.argv[2:]), refused]:
    print("PROFILE", flush=True)
    try:
        serve.main(arguments)
    except SystemExit as ended:
        print("ENDED", ended.code, flush=True)
"""
NAMES = [name for name in profile_names() if name != "counting"]


@pytest.fixture(scope="module")
def done() -> subprocess.CompletedProcess[str]:
    """What every profile was answered, and at last one with a value that vLLM cannot read."""
    command = [str(PYTHON), "-c", _EACH, PROFILE, *NAMES]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)


def test_vllm_understands_every_profile(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr
    told = dict(zip(NAMES, done.stdout.split("PROFILE")[1:-1], strict=True))
    for name in NAMES:
        profile = load_profile(name)
        assert profile.server is not None
        assert "ENDED 0" in told[name]
        for field, value in {
            "max_model_len": profile.max_model_len,
            "max_num_seqs": profile.server.max_num_seqs,
            "max_num_batched_tokens": profile.server.max_num_batched_tokens,
            "max_num_queued_reqs": profile.server.max_num_queued_requests,
            "scheduling_policy": profile.server.scheduling_policy,
            "shutdown_timeout": profile.server.drain_seconds,
            "served_model_name": f"['{profile.served_name}']",
        }.items():
            values = [line.split(maxsplit=1)[1] for line in told[name].splitlines() if line.startswith(f"  {field} ")]
            assert values[:1] == [str(value)]
        assert ("NOTHING WAS RUN ON A GPU" in told[name]) == (profile.server.device == "gpu")


def test_vllm_refuses_what_it_does_not_know(done: subprocess.CompletedProcess[str]) -> None:
    assert "ENDED 2" in done.stdout.split("PROFILE")[-1]
    assert "invalid" in done.stderr.splitlines()[-1]
