"""Markup: what chat templates and our own prompts give a meaning (**data → prompt**, and **answer → guards**).

One list of both: what is taken out of everybody's words before they stand in a prompt must not stand in an answer either.

=======================  ================================================================================================
ChatML, Qwen, Phi        ``<|im_start|>``, ``<|im_end|>``, ``<|im_sep|>``, ``<|endoftext|>``, ``<|user|>``, ``<|end|>``
Llama 2 and 3            ``[INST]``, ``<<SYS>>``, ``<s>``, ``<|begin_of_text|>``, ``<|start_header_id|>``, ``<|eot_id|>``
Mistral                  ``[INST]``, ``[SYSTEM_PROMPT]``, ``[AVAILABLE_TOOLS]``, ``[TOOL_CALLS]``, ``[THINK]``, ...
Gemma                    ``<start_of_turn>``, ``<end_of_turn>``, ``<bos>``, ``<unused5>``
DeepSeek                 ``<｜User｜>``, ``<｜end▁of▁sentence｜>``
thoughts, tools, ours    ``<think>``, ``<tool_call>``, ``<old_summary>``: every tag, whatever its name
AlignXplore+             ``=====END=====``, ``*QUERY:*``; its dialect takes more than these out of data
=======================  ================================================================================================
"""

from __future__ import annotations

import re

_BRACKETED = "INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|THINK|gMASK|IMG|CONTROL_[0-9]+"
_DELIMITERS = r"=====[^=\n]+=====|\*(?:QUERY|(?:CHOSEN|REJECTED) ITEM BY THE USER):\*"
_TOKEN = rf"</?[a-z_][^<>]*>|<[|｜][^<>]*[|｜]>|<</?SYS>>|\[/?(?:{_BRACKETED})\]|{_DELIMITERS}|<[|｜]|[|｜]>"
_FOUND = re.compile(_TOKEN, re.IGNORECASE)
# Of data also the halves are taken, which two fields could make whole.
_TAKEN = re.compile(rf"{_TOKEN}|<<[^<>]*>>|<<|>>", re.IGNORECASE)
_NO_BRACKETS = dict.fromkeys(map(ord, "<>[]|｜=*"))
MAX_NESTED = 4


def find_markup(text: str) -> int | None:
    """Where the first token of a chat template, or the first tag, begins; None where there is none."""
    found = _FOUND.search(text)
    return found.start() if found else None


def without_markup(text: str) -> str:
    """``text`` without any markup, and without what taking some out would leave."""
    # Who nests tokens deeper than this has no use for brackets.
    for _ in range(MAX_NESTED):
        cleaned = _TAKEN.sub("", text)
        if cleaned == text:
            return text
        text = cleaned
    return text.translate(_NO_BRACKETS)
