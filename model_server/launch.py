"""Launch: a profile as the command that starts vLLM, its one place (weights → **launch** → serve, dry run). Pure.

The flags are those of vLLM 0.32. The module that is run is deprecated there, and the only one that the CPU build and the GPU
build both have: the ``vllm serve`` of the CPU build fails (it looks for a distribution called "vllm").
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from model_server.profiles import Profile, Server

MODULE = "vllm.entrypoints.openai.api_server"
_MIB = 1024 * 1024
# A grammar allows any amount of whitespace by itself, and the tokens of the longest answer are counted without.
_COMPACT = '{"backend": "xgrammar", "disable_any_whitespace": true}'


class Launch(Struct, frozen=True):
    """A command and what it adds to the environment."""

    python: str
    flags: tuple[str, ...]
    environment: dict[str, str]

    @property
    def command(self) -> tuple[str, ...]:
        """What is run."""
        return (self.python, "-m", MODULE, *self.flags)

    def shown(self) -> str:
        """The command as it can be copied into a shell, one flag a line."""
        variables = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        lines: list[str] = []
        for flag in self.flags:
            if flag.startswith("--"):
                lines.append(flag)
            else:
                lines[-1] += f" {shlex.quote(flag)}"
        return " \\\n  ".join([*variables, f"{shlex.quote(self.python)} -m {MODULE}", *lines])


def launch_of(profile: Profile, server: Server, folder: Path, python: str, host: str, port: int, more: Sequence[str]) -> Launch:
    """How ``python`` serves the weights in ``folder`` as the profile says; ``more`` are flags of vLLM, which win."""
    flags = (*_flags(profile, server, folder), "--host", host, "--port", str(port), *more)
    return Launch(python, flags, dict(_environment(server)))


def _flags(profile: Profile, server: Server, folder: Path) -> Iterator[str]:
    valued = {
        "model": folder,
        "served-model-name": profile.served_name,
        "dtype": server.dtype,
        "max-model-len": profile.max_model_len,
        "max-num-seqs": server.max_num_seqs,
        "max-num-batched-tokens": server.max_num_batched_tokens,
        "max-num-queued-reqs": server.max_num_queued_requests,
        "scheduling-policy": server.scheduling_policy,
        "kv-cache-dtype": server.kv_cache_dtype,
        # 0, vLLM's default, would answer what is in flight with HTTP 500.
        "shutdown-timeout": server.drain_seconds,
        # Not the defaults in the model's folder: what is not sent is vLLM's own.
        "generation-config": "vllm",
        "quantization": server.quantization or None,
        "reasoning-parser": server.reasoning_parser or None,
        "structured-outputs-config": _COMPACT if profile.grammar else None,
        "gpu-memory-utilization": server.gpu_memory_utilization,
        "kv-cache-memory-bytes": server.kv_cache_mib and server.kv_cache_mib * _MIB,
    }
    for name, value in valued.items():
        if value is not None:
            yield from (f"--{name}", str(value))
    yield "--enable-prefix-caching" if server.prefix_caching else "--no-enable-prefix-caching"
    yield "--enable-chunked-prefill" if server.chunked_prefill else "--no-enable-chunked-prefill"
    if server.enforce_eager:
        yield "--enforce-eager"
    # What the client counts cached tokens by.
    yield "--enable-prompt-tokens-details"
    yield "--disable-uvicorn-access-log"


def _environment(server: Server) -> Iterator[tuple[str, str]]:
    yield "VLLM_HTTP_TIMEOUT_KEEP_ALIVE", str(server.keep_alive_seconds)
    # Twice the time series otherwise, for the instants at which they began.
    yield "PROMETHEUS_DISABLE_CREATED_SERIES", "true"
    # Nothing is asked of, or told to, anybody.
    yield "HF_HUB_OFFLINE", "1"
    yield "VLLM_NO_USAGE_STATS", "1"
    if server.num_reserved_cores is not None:
        yield "VLLM_CPU_NUM_OF_RESERVED_CPU", str(server.num_reserved_cores)
