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

Brackets around capitals are markup only as these names; a tag with spaces in it, of full-width characters or without its end
only as the name of one that a model may take for its own.
"""

from __future__ import annotations

import re

_BRACKETED = "INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|THINK|gMASK|IMG|CONTROL_[0-9]+"
# A person may write these in small letters.
_CAPITALS = (
    "BOS|EOS|PAD|CLS|SEP|MASK|UNK|sMASK|unused[0-9]+|SYSTEM|USER|ASSISTANT|IMG_END|IMG_BREAK|ARGS|CALL_ID|MODEL_SETTINGS"
)
_NAMES = "old_summary|pinned|tally|new_events|think|thinking|thought|reasoning|tool_call|tool_response|tools|s|bos|eos"
_DELIMITERS = r"=====[^=\n]+=====|\*(?:QUERY|(?:CHOSEN|REJECTED) ITEM BY THE USER):\*"
_ROLES = (
    r"#{2,4} ?(?:Instructions?|Response|Input|System|User|Human|Assistant):|(?-i:\bASSISTANT:)"
    r"|\bassistant(?:final|analysis|commentary)\b|\bto=functions\.\w+"
)
_LEFTOVERS = r"<0x[0-9a-f]{2}>|▁(?=\w)|(?-i:(?<=[a-z.,;:!?\"])Ġ)|\{\{[^{}\n]{0,80}\}\}|<!--|```"
_NAMED = rf"<[ \t]*/?[ \t]*(?:{_NAMES})[ \t]*/?[ \t]*>|<[ \t]*/[ \t]*[a-z_]\w*[ \t]*>|</?(?:{_NAMES}(?<!<s)(?<!</s))$"
_TOKEN = (
    rf"</?[a-z_][^<>]*>|<[|｜][^<>]*[|｜]>|<</?SYS>>|\[/?(?:{_BRACKETED})\]|(?-i:\[/?(?:{_CAPITALS})\])|\[\|[^\[\]|]*\|\]"
    rf"|◁/?\w+▷|{_NAMED}|{_ROLES}|{_LEFTOVERS}|{_DELIMITERS}|<[|｜]|[|｜]>"
)
_FOUND = re.compile(_TOKEN, re.IGNORECASE)
# Of data also the halves are taken, which two fields could make whole.
_TAKEN = re.compile(rf"{_TOKEN}|<<[^<>]*>>|<<|>>", re.IGNORECASE)
_FOLDED = str.maketrans("＜﹤＞﹥＝﹦＊﹡／", "<<>>==**/")
_FOUND_FOLDED = re.compile(rf"{_NAMED}|<[|｜][^<>]*[|｜]>|{_DELIMITERS}", re.IGNORECASE)
_NO_BRACKETS = dict.fromkeys(map(ord, "<>[]|｜=*"))
MAX_NESTED = 4


def find_markup(text: str) -> int | None:
    """Where the first token of a chat template, or the first tag, begins; None where there is none."""
    found = _FOUND.search(text) or (None if text.isascii() else _FOUND_FOLDED.search(text.translate(_FOLDED)))
    return found.start() if found else None


def without_markup(text: str) -> str:
    """``text`` without any markup, and without what taking some out would leave."""
    # Who nests tokens deeper than this has no use for brackets.
    for _ in range(MAX_NESTED):
        cleaned = _TAKEN.sub("", _ascii(text))
        if cleaned == text:
            return text
        text = cleaned
    return _ascii(text).translate(_NO_BRACKETS)


def _ascii(text: str) -> str:
    """``text`` with full-width delimiters as ASCII where they are some; a title may hold such characters."""
    folded = text if text.isascii() else text.translate(_FOLDED)
    return folded if folded is not text and _FOUND_FOLDED.search(folded) else text
