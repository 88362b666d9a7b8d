"""Markup: what chat templates and our own prompts give a meaning (**data → prompt**, and **answer → guards**).

One list of both: what is taken out of everybody's words before they stand in a prompt must not stand in an answer either.

=======================  ================================================================================================
ChatML, Qwen, Phi        ``<|im_start|>``, ``<|im_end|>``, ``<|im_sep|>``, ``<|endoftext|>``, ``<|user|>``, ``<|end|>``
Llama 2 and 3            ``[INST]``, ``<<SYS>>``, ``<s>``, ``<|begin_of_text|>``, ``<|start_header_id|>``, ``<|eot_id|>``
Mistral                  ``[INST]``, ``[SYSTEM_PROMPT]``, ``[AVAILABLE_TOOLS]``, ``[TOOL_CALLS]``, ``[THINK]``, ``[ARGS]``, ...
Gemma                    ``<start_of_turn>``, ``<end_of_turn>``, ``<bos>``, ``<unused5>``
DeepSeek                 ``<｜User｜>``, ``<｜end▁of▁sentence｜>``
BERT, GLM, EXAONE, Kimi  ``[MASK]``, ``[PAD]``, ``[unused5]``, ``[gMASK]``, ``[|assistant|]``, ``◁think▷``
Alpaca, Vicuna, Harmony  ``### Instruction:``, ``ASSISTANT:``, ``assistantfinal``, ``to=functions.search``
bytes and spaces         ``<0x0A>``, ``Loves▁drama``, ``LovesĠdrama``
thoughts, tools, ours    ``<think>``, ``<tool_call>``, ``<old_summary>``: every tag, whatever its name
other templates, code    ``{{user}}``, ``<!--``, three backticks
AlignXplore+             ``=====END=====``, ``*QUERY:*``; its dialect takes more than these out of data
=======================  ================================================================================================

Brackets around capitals are markup only as these names; a tag with spaces in it, of characters that read like ours, written as
character references (``&lt;``) or without its end only as the name of one that a model may take for its own.
"""

from __future__ import annotations

import re

from streams.evolution.lookalikes import as_read

_BRACKETED = "INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|THINK|gMASK|IMG|CONTROL_[0-9]+"
# A person may write these in small letters.
_CAPITALS = (
    "BOS|EOS|PAD|CLS|SEP|MASK|UNK|sMASK|unused[0-9]+|SYSTEM|USER|ASSISTANT|IMG_END|IMG_BREAK|ARGS|CALL_ID|MODEL_SETTINGS"
)
_NAMES = (
    r"old[\W_]?summary|pinned|tally|new[\W_]?events|think|thinking|thought|reasoning|tool_call|tool_response|tools|s|bos|eos"
)
_DELIMITERS = r"=====[^=\n]+=====|\*(?:QUERY|(?:CHOSEN|REJECTED) ITEM BY THE USER):\*"
_ROLES = (
    r"#{2,4} ?(?:Instructions?|Response|Input|System|User|Human|Assistant):|(?-i:\bASSISTANT:)"
    r"|\bassistant(?:final|analysis|commentary)\b|\bto=functions\.\w+"
)
_LEFTOVERS = r"<0x[0-9a-f]{2}>|▁(?=\w)|(?-i:(?<=[a-z.,;:!?\"])Ġ)|\{\{[^{}\n]{0,80}\}\}|<!--|```"
_GAP = r"[ \t\u0300-\u036f]*+"
_LESS, _MORE, _SLASH = (
    rf"(?:{mark}|&(?:amp;)?{name};|&(?:amp;)?#0*{number};|&(?:amp;)?#x0*{number:x};|%{number:x}|\\u00{number:x}|\\x{number:x})"
    for mark, name, number in (("<", "lt", 60), (">", "gt", 62), ("/", "sol", 47))
)
_NAMED = (
    rf"{_LESS}{_GAP}{_SLASH}?{_GAP}(?:{_NAMES}){_GAP}{_SLASH}?{_GAP}{_MORE}|<[ \t]*/[ \t]*[a-z_]\w*[ \t]*>"
    rf"|</?(?:{_NAMES}(?<!<s)(?<!</s))$|{_LESS}{_GAP}\|[^<>|\n]{{0,60}}\|{_GAP}{_MORE}"
)
_BRACKETS = rf"\[/?(?:{_BRACKETED})\]|(?-i:\[/?(?:{_CAPITALS})\])"
_TOKEN = (
    rf"</?[^\W\d][^<>]*>|<[|｜][^<>]*[|｜]>|<</?SYS>>|{_BRACKETS}|\[\|[^\[\]|]*\|\]"
    rf"|◁/?\w+▷|{_NAMED}|{_ROLES}|{_LEFTOVERS}|{_DELIMITERS}|<[|｜]|[|｜]>"
)
_FOUND = re.compile(_TOKEN, re.IGNORECASE)
# Of data also the halves are taken, which two fields could make whole: an honest text that names both would be no summary.
_HALVES = rf"<<|>>|</?(?=[^\W\d])|={{5,}}|\{{\{{|\}}\}}|\[\||\|\]|{_LESS}{_GAP}\||\|{_GAP}{_MORE}|^Ġ"
_TAKEN = re.compile(rf"{_TOKEN}|<<[^<>]*>>|{_HALVES}", re.IGNORECASE)
# In a text as it reads, where what stands in angles or brackets may be anybody's quotation.
_READ = re.compile(rf"{_NAMED}|<\|[^<>]*\|>|{_BRACKETS}|{_ROLES}|{_DELIMITERS}", re.IGNORECASE)
_READ_TAKEN = re.compile(rf"{_READ.pattern}|={{5,}}|{_LESS}{_GAP}\||\|{_GAP}{_MORE}", re.IGNORECASE)
# Without any of these there is no markup, and nearly all texts are without.
_SIGNS = re.compile(r"[<>\[{`#=*|&%\\]|assistant|[^\x00-\x7f]", re.IGNORECASE)
_NO_SIGNS = frozenset("<>[]|=*{}#&%\\`:▁Ġ◁▷")
_HARMONY = re.compile(r"(assistant)(?=final|analysis|commentary)", re.IGNORECASE)
MAX_NESTED = 4


def find_markup(text: str) -> int | None:
    """Where the first token of a chat template, or the first tag, begins; None where there is none."""
    if _SIGNS.search(text) is None:
        return None
    found = _FOUND.search(text) or (None if text.isascii() else _READ.search(as_read(text)))
    return found.start() if found else None


def without_markup(text: str) -> str:
    """``text`` on one line, without any markup, and without what taking some out would leave; idempotent."""
    text = " ".join(text.split())
    if _SIGNS.search(text) is None:
        return text
    # Who nests tokens deeper than this has no use for brackets.
    for _ in range(MAX_NESTED):
        cleaned = " ".join(_without_read(_TAKEN.sub("", text)).split())
        if cleaned == text:
            return text
        text = cleaned
    signs = zip(text, as_read(text), strict=True)
    bare = "".join(character for character, read in signs if _NO_SIGNS.isdisjoint((character, read)))
    return " ".join(_HARMONY.sub(r"\1 ", bare).split())


def _without_read(text: str) -> str:
    """``text`` without what reads like markup."""
    if text.isascii():
        return text
    kept, end = [], 0
    for found in _READ_TAKEN.finditer(as_read(text)):
        kept.append(text[end : found.start()])
        end = found.end()
    return "".join([*kept, text[end:]])
