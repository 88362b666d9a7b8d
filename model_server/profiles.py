"""Profiles: all that is needed to serve one model on one kind of hardware, and to ask it (profile → serve, client).

A profile is a TOML file, of ours in ``profiles/`` or of yours anywhere. It is refused as a whole, before anything starts,
when a key is unknown or two values cannot go together.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct, field

FOLDER = Path(__file__).resolve().with_name("profiles")
DEFAULT = "counting"
LEAST_ROOM_TOKENS = 1_280
"""The least context that an update needs beside the thought: about 1,000 tokens of prompt (measured on MovieLens, of which
270 are constant and up to 160 the old summary) and 240 of answer."""
CLIENT_KEEP_ALIVE_SECONDS = 4
"""For how long the client keeps an idle connection; the server has to keep it longer."""

MOST = 2**31 - 1
"""The largest number that vLLM's own counters hold."""

Positive = Annotated[int, Meta(ge=1, le=MOST)]
Text = Annotated[str, Meta(min_length=1)]


class InvalidProfile(Exception):
    """A profile is refused: ``file`` and ``key`` say where, ``problem`` what is wrong, ``fix`` what to write instead."""

    def __init__(self, file: str, key: str, problem: str, fix: str) -> None:
        super().__init__(f"{file}: {f'{key}: ' if key else ''}{problem}; {fix}")
        self.file = file
        self.key = key
        self.problem = problem
        self.fix = fix


class Sampling(Struct, frozen=True, forbid_unknown_fields=True):
    """How the next token is drawn; all of it is sent with every call, so that no server's default decides."""

    temperature: Annotated[float, Meta(ge=0, le=2)]
    top_p: Annotated[float, Meta(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Meta(ge=0, le=MOST)] = 0
    """0: all tokens."""
    repetition_penalty: Annotated[float, Meta(ge=1, le=2)] = 1.0


class Weights(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the weights come from: a ``file`` (GGUF) of a Python ``package``, or a folder that somebody downloaded."""

    model: Text
    """What its makers call it."""
    architecture: Text
    """The class that its config.json has to name."""
    package: Annotated[str, Meta(pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.+!_-]*)?\Z")] = ""
    """The distribution and its version, as ``pip install`` wants it."""
    file: str = ""
    sha256: Annotated[str, Meta(pattern="^([0-9a-f]{64})?$")] = ""
    """Of the file; it also names the prepared folder, so that whoever has no package can still find it."""
    path: str = ""
    """A folder with config.json, tokenizer.json and safetensors. Empty, with no package: whoever serves it gives one."""
    adapter: str = ""
    """A folder with a LoRA adapter, which is merged into the weights; like ``path``, relative to the profile's file."""


class Server(Struct, frozen=True, forbid_unknown_fields=True):
    """What only the server needs to know: how vLLM runs the model on its hardware."""

    device: Literal["cpu", "gpu"]
    dtype: Literal["bfloat16", "float16", "float32"]
    max_num_seqs: Positive
    """Calls that are computed in one step."""
    max_num_batched_tokens: Positive
    """Tokens that are computed in one step, of prompts and answers together."""
    max_num_queued_requests: Positive
    """Calls that the server has at all, running or waiting; one more gets HTTP 503."""
    drain_seconds: Positive
    """How long calls in flight may go on after SIGTERM."""
    keep_alive_seconds: Positive
    """How long an idle connection is kept."""
    start_seconds: Positive
    """How long the start may take, weights and compiled graphs included."""
    prefix_caching: bool
    chunked_prefill: bool
    """Whether a long prompt may be computed in several steps, between the answers of others."""
    enforce_eager: bool
    """No compiled graphs: a faster start, slower steps."""
    scheduling_policy: Literal["fcfs", "priority"]
    quantization: Literal["", "fp8"] = ""
    kv_cache_dtype: Literal["auto", "fp8"] = "auto"
    reasoning_parser: Literal["", "qwen3"] = ""
    """Which grammar of thoughts tells the thought from the answer."""
    gpu_memory_utilization: Annotated[float, Meta(gt=0, lt=1)] | None = None
    """Share of the GPU's memory for weights and KV cache."""
    kv_cache_mib: Positive | None = None
    """Memory for the KV cache on a CPU (MiB)."""
    num_reserved_cores: Annotated[int, Meta(ge=0, le=1_023)] | None = None
    """Cores of a CPU on which vLLM does not compute; none said: one, where its scheduler runs."""


class Profile(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything needed to serve one model on one kind of hardware, and to ask it."""

    name: str
    """The name of its file, without .toml."""
    caption: Text
    engine: Literal["vllm", "counting"]
    dialect: Literal["plain", "brief", "alignxplore"]
    served_name: Annotated[str, Meta(pattern=r"^[^\s-]\S*\Z")]
    """What clients ask for."""
    max_model_len: Positive
    """The context: prompt, thought and answer together, in the model's tokens."""
    timeout_seconds: Annotated[float, Meta(ge=1, le=3_600)]
    """How long one call may take, in the server's queue too: three times what it takes when all places are taken, because a
    call that is cut off has cost what an answer costs, and is made again."""
    sampling: Sampling
    grammar: Literal["", "sections"] = ""
    """``sections``: the answer is JSON by a schema, of which the client makes prose."""
    thinking_tokens: Annotated[int, Meta(ge=0, le=MOST)] = 0
    """The most tokens of a thought; 0: the model does not think."""
    chat_template_kwargs: dict[str, bool | int | str] = field(default_factory=dict)
    """Options of the model's chat template, sent with every call."""
    weights: Weights | None = None
    """None only for an engine without any."""
    server: Server | None = None


def profile_names() -> tuple[str, ...]:
    """The profiles that come with prefstream."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def load_profile(name_or_path: str) -> Profile:
    """The profile of this name, or in this file (whatever has a slash in it or ends in .toml). Raises `InvalidProfile`."""
    is_path = "/" in name_or_path or name_or_path.endswith(".toml")
    path = Path(name_or_path) if is_path else FOLDER / f"{name_or_path}.toml"
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        known = profile_names()
        # All that are near, in their order: which hardware is meant is not for us to guess.
        near = sorted(get_close_matches(name_or_path, known, 3))
        fix = f"write {' or '.join(near)}" if near else f"write one of {', '.join(known)}, or the path of a file"
        problem = f"cannot be read ({_why_unread(error)})" if is_path else "no profile has this name"
        raise InvalidProfile(name_or_path, "", problem, fix) from None
    return _beside(path, parse_profile(text, path.stem, str(path) if is_path else path.name))


def _why_unread(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or str(error)).lower() if isinstance(error, OSError) else "not UTF-8"


def parse_profile(text: str, name: str, file: str) -> Profile:
    """The profile called ``name`` that the TOML ``text`` describes; ``file`` is named in the error. Raises `InvalidProfile`."""
    try:
        return profile_of(tomllib.loads(text), name, file)
    except (tomllib.TOMLDecodeError, RecursionError) as malformed:
        raise InvalidProfile(file, "", f"not TOML: {malformed}", "see docs/models.md for an example") from None


def profile_of(table: Mapping[str, object], name: str, file: str) -> Profile:
    """The profile in a ``table`` that was read from ``file``. Raises `InvalidProfile`."""
    if "name" in table:
        raise InvalidProfile(file, "name", "a profile is named by its file", "remove the key")
    _refuse_unknown_keys(file, "", table, Profile)
    try:
        profile = msgspec.convert({**table, "name": name}, Profile)
    except msgspec.ValidationError as misfit:
        raise _misfit(file, str(misfit)) from None
    for key, problem, fix in _conflicts(profile):
        raise InvalidProfile(file, key, problem, fix)
    return profile


def _beside(path: Path, profile: Profile) -> Profile:
    """The profile with its paths as seen from where this process runs, which the file's own are not."""
    if profile.weights is None:
        return profile
    folder, weights = path.resolve().parent, profile.weights
    absolute = {name: str(folder / value) for name in ("path", "adapter") if (value := getattr(weights, name))}
    return msgspec.structs.replace(profile, weights=msgspec.structs.replace(weights, **absolute))


def _refuse_unknown_keys(file: str, prefix: str, table: Mapping[str, object], struct: type[Struct]) -> None:
    types = get_type_hints(struct)
    for key, value in table.items():
        if key not in types:
            near = get_close_matches(key, types, 1)
            fix = f"write {near[0]}" if near else f"write one of {', '.join(name for name in types if name != 'name')}"
            raise InvalidProfile(file, prefix + key, "no key has this name", fix)
        inner = next((kind for kind in (types[key], *get_args(types[key])) if _is_struct(kind)), None)
        if inner is not None and isinstance(value, Mapping):
            _refuse_unknown_keys(file, f"{key}.", value, inner)


def _is_struct(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)


_WHERE = re.compile(r"^(?P<problem>.*?)(?: - at `\$\.?(?P<key>[^`]*)`)?$", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(\w+)`")


def _misfit(file: str, message: str) -> InvalidProfile:
    """What msgspec says of a value that does not fit, as an error with its key and what would."""
    match = _WHERE.match(message)
    problem, key = (match["problem"], (match["key"] or "").removesuffix("[...]")) if match else (message, "")
    if missing := _MISSING.match(problem):
        return InvalidProfile(
            file, ".".join(filter(None, (key, missing[1]))), "missing", "add it: docs/models.md says what it is"
        )
    return InvalidProfile(file, key, problem[:1].lower() + problem[1:], _allowed(key))


def _allowed(key: str) -> str:
    """What may be written at ``key``."""
    kind: Any = Profile
    for name in key.split("."):
        hints = get_type_hints(kind, include_extras=True) if _is_struct(kind) else {}
        if name not in hints:
            return "see docs/models.md for what belongs there"
        kind = next((inner for inner in get_args(hints[name]) if _is_struct(inner)), hints[name])
    if get_origin(kind) is Literal:
        return f"write one of {', '.join(repr(value) for value in get_args(kind))}"
    return "see docs/models.md for what belongs there"


_Conflict = tuple[str, str, str]
"""The key, what is wrong, what to write."""


def _conflicts(profile: Profile) -> Iterable[_Conflict]:
    """Every combination in the profile that cannot work."""
    yield from _of_prompts(profile)
    yield from _of_templates(profile)
    if profile.engine == "counting":
        yield from _of_counting(profile)
        return
    for name in ("weights", "server"):
        if getattr(profile, name) is None:
            yield name, "missing", f"add a table [{name}]: vLLM needs to know"
    if profile.weights is not None:
        yield from _of_weights(profile.weights)
    if profile.weights is not None and profile.server is not None:
        yield from _of_steps(profile, profile.server)
        yield from (_of_a_cpu if profile.server.device == "cpu" else _of_a_gpu)(profile.server)
        yield from _of_thoughts(profile, profile.server)
        if profile.weights.adapter and profile.server.quantization:
            yield (
                "server.quantization",
                "an adapter is merged into weights as they are, not into quantised ones",
                "leave it out, or merge once without it and serve the result by weights.path",
            )


def _of_prompts(profile: Profile) -> Iterable[_Conflict]:
    if profile.grammar and profile.dialect != "plain":
        yield "grammar", f"the dialect {profile.dialect} answers in free text", 'leave it out, or write dialect = "plain"'
    if profile.thinking_tokens + LEAST_ROOM_TOKENS > profile.max_model_len:
        yield (
            "max_model_len",
            f"no room for a prompt beside a thought of {profile.thinking_tokens} tokens and a summary",
            f"write at least {profile.thinking_tokens + LEAST_ROOM_TOKENS}",
        )


def _of_templates(profile: Profile) -> Iterable[_Conflict]:
    for name in ("chat_template", "tokenize"):
        if name in profile.chat_template_kwargs:
            yield f"chat_template_kwargs.{name}", "vLLM refuses every call with it", "remove the key"


def _of_counting(profile: Profile) -> Iterable[_Conflict]:
    for name in ("weights", "server"):
        if getattr(profile, name) is not None:
            yield name, "the counting engine has none", "remove the table"
    if profile.dialect != "plain":
        yield "dialect", "the counting engine reads only the plain dialect", 'write dialect = "plain"'
    for name in ("grammar", "thinking_tokens", "chat_template_kwargs"):
        if getattr(profile, name):
            yield name, "the counting engine knows nothing of it", "remove the key"


def _of_weights(weights: Weights) -> Iterable[_Conflict]:
    if weights.package and weights.path:
        yield "weights.path", "there is a package too", "keep one of package and path"
    if bool(weights.package) != bool(weights.file and weights.sha256):
        yield "weights.package", "package, file and sha256 belong together", "write all three, or none and a path"
    if weights.file.startswith("/") or ".." in weights.file.split("/"):
        yield "weights.file", "it is not in the package", "write its path within the package's folder"


def _of_steps(profile: Profile, server: Server) -> Iterable[_Conflict]:
    if server.max_num_seqs > server.max_num_batched_tokens:
        yield (
            "server.max_num_seqs",
            f"{server.max_num_seqs} calls do not fit into steps of {server.max_num_batched_tokens} tokens",
            "write at most max_num_batched_tokens",
        )
    if server.max_num_queued_requests < server.max_num_seqs:
        yield (
            "server.max_num_queued_requests",
            f"it counts those that run too: {server.max_num_seqs} would never run at once",
            f"write at least {server.max_num_seqs}",
        )
    if not server.chunked_prefill and server.max_num_batched_tokens < profile.max_model_len:
        yield (
            "server.max_num_batched_tokens",
            f"without chunked_prefill a prompt of up to {profile.max_model_len} tokens has to fit into one step",
            f"write at least max_model_len ({profile.max_model_len})",
        )
    if server.keep_alive_seconds <= CLIENT_KEEP_ALIVE_SECONDS:
        yield (
            "server.keep_alive_seconds",
            f"clients keep a connection for {CLIENT_KEEP_ALIVE_SECONDS} s and would send into a closed one",
            "write at least 30",
        )


def _of_a_cpu(server: Server) -> Iterable[_Conflict]:
    if server.quantization == "fp8":
        yield "server.quantization", "fp8 needs a GPU", "remove the key"
    if server.kv_cache_dtype == "fp8":
        yield "server.kv_cache_dtype", "fp8 needs a GPU", 'write "auto"'
    if server.chunked_prefill:
        # Seen with vLLM 0.32: a prompt in two steps whose call has a seed and a temperature ends the engine, for everybody
        # ("CPU Generator does not use offset").
        yield "server.chunked_prefill", "on a CPU, one call with a seed ends vLLM then", "write false"
    if server.gpu_memory_utilization is not None:
        yield "server.gpu_memory_utilization", "a CPU has no memory of a GPU", "write kv_cache_mib instead"
    if server.kv_cache_mib is None:
        yield "server.kv_cache_mib", "missing", "say how much memory the KV cache may take"


def _of_a_gpu(server: Server) -> Iterable[_Conflict]:
    if server.gpu_memory_utilization is None:
        yield "server.gpu_memory_utilization", "missing", "say which share of the GPU's memory vLLM may take, such as 0.92"
    for name in ("kv_cache_mib", "num_reserved_cores"):
        if getattr(server, name) is not None:
            yield f"server.{name}", "it is for a CPU", "remove the key"
    if server.dtype == "float32" and server.kv_cache_dtype == "fp8":
        yield "server.dtype", "an fp8 KV cache goes with 16 bits", 'write "bfloat16"'


def _of_thoughts(profile: Profile, server: Server) -> Iterable[_Conflict]:
    thinks = profile.chat_template_kwargs.get("enable_thinking")
    if profile.thinking_tokens and not server.reasoning_parser:
        yield "thinking_tokens", "without a parser nobody sees where a thought ends", 'write server.reasoning_parser = "qwen3"'
    if profile.thinking_tokens and thinks is False:
        yield "chat_template_kwargs.enable_thinking", "thinking_tokens asks for a thought", "write true, or thinking_tokens = 0"
    if server.reasoning_parser and not profile.thinking_tokens:
        # vLLM issue 17327: the parser takes the whole answer of a model that does not think for its thought.
        yield (
            "server.reasoning_parser",
            "an answer without a thought could be taken for one",
            "remove it, or set thinking_tokens",
        )
