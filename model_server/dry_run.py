"""Dry run: what vLLM itself makes of a launch, without starting anything (serve --dry-run)."""

from __future__ import annotations

import dataclasses
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from model_server.launch import Launch
from model_server.profiles import Server


def show(launch: Launch, server: Server, device: str, folder: Path) -> int:
    """Print vLLM's engine arguments, those that differ from its defaults, and what was checked; 0 when vLLM takes them.

    ``device`` is what the installed vLLM was built for. Only where that is the profile's own, and the weights are there, can
    vLLM also decide how it would run them.
    """
    is_there = (folder / "config.json").is_file()
    # Without weights only the parser is asked, which would look for them among downloads if it was told to stay offline.
    hidden = set() if is_there else {"HF_HUB_OFFLINE"}
    os.environ.update({name: value for name, value in launch.environment.items() if name not in hidden})
    os.environ["VLLM_LOGGING_LEVEL"] = "ERROR"
    # What it logs while it is imported, before it reads that.
    logging.getLogger("vllm").setLevel(logging.ERROR)
    try:
        arguments = _parse(launch)
        rows = dict(_chosen(arguments))
        resolved = _resolve(arguments) if device == server.device and is_there else {}
    except (ValueError, TypeError) as refusal:
        # vLLM's own validation, of arguments or of their combination.
        sys.stderr.write(f"vLLM refuses this: {refusal}\n")
        return 1
    _print_rows("engine arguments, as vLLM reads them", rows)
    if resolved:
        _print_rows("and what it makes of them", resolved)
    sys.stdout.write(_verdict(server, device, bool(resolved)) + "\n")
    return 0


def _parse(launch: Launch) -> Any:
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parsed = make_arg_parser(FlexibleArgumentParser(prog="vLLM")).parse_args(list(launch.flags))
    validate_parsed_serve_args(parsed)
    return AsyncEngineArgs.from_cli_args(parsed)


def _chosen(arguments: Any) -> Iterator[tuple[str, object]]:
    """The arguments that are not what vLLM would take by itself."""
    for field in dataclasses.fields(arguments):
        default = field.default_factory() if callable(field.default_factory) else field.default
        value = getattr(arguments, field.name)
        if value not in (default, None, ""):
            yield field.name, value


def _resolve(arguments: Any) -> dict[str, object]:
    config = arguments.create_engine_config()
    return {
        "architecture": ", ".join(config.model_config.architectures),
        "dtype": str(config.model_config.dtype).removeprefix("torch."),
        "max_model_len": config.model_config.max_model_len,
        "block size of the KV cache": config.cache_config.block_size,
        "chunked prefill": config.scheduler_config.enable_chunked_prefill,
        "compilation": getattr(config.compilation_config.mode, "name", config.compilation_config.mode),
    }


def _print_rows(title: str, rows: Mapping[str, object]) -> None:
    # Plain lines: nothing is cut, whatever the width.
    width = max(map(len, rows), default=0)
    lines = (f"  {name:{width}}  {value}\n" for name, value in sorted(rows.items()))
    sys.stdout.write(f"{title}:\n{''.join(lines)}\n")


def _verdict(server: Server, device: str, is_resolved: bool) -> str:
    if device != server.device:
        return (
            f"vLLM's parser takes these arguments. NOTHING WAS RUN ON A {server.device.upper()}: "
            f"this vLLM is built for a {device.upper()}, so whether the hardware does what they ask is not checked."
        )
    if not is_resolved:
        return "vLLM's parser takes these arguments; the weights are not there, so how it would run them is not checked."
    return "vLLM takes these arguments for these weights. Nothing was started."
