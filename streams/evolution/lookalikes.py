"""Look-alikes: characters that read like those that delimit our prompts, one for one (**data → markup**).

A model that was told what ``</new_events>`` ends is not told it by ``‹/new_events›`` or by a Cyrillic ``е`` in the name, and
may understand it all the same. So delimiters are looked for in the text as it reads, too. Only what is found is taken out of
the text itself: a title may hold such characters, and whole languages are written in such letters.
"""

from __future__ import annotations

import unicodedata
from functools import cache

# Of each delimiter what Unicode lists as confusable with it, and what else is drawn so. What Unicode itself calls the same
# character in another width, style or with an accent is not listed: its decomposition says so.
_DELIMITERS = {
    "<": "‹〈〈❮❬❰⟨⧼≺⋖≪ᐸ˂𖡇ⵦ⦉⪡",
    ">": "›〉〉❯❭❱⟩⧽≻⋗≫ᐳ˃⦊⪢",
    "|": "∣❘❙❚│┃╎┊⏐ǀ׀।ا‖¦",
    "/": "⁄∕⧸╱⟋∕㇓〳ノ",
    "=": "═꞊᐀゠⹀〓≡",
    "*": "∗⁎✱✲✻❋٭⁕∘★☆",
    "[": "❲⟦〔【〖⦋⁅",
    "]": "❳⟧〕】〗⦌⁆",
    "{": "❴⦃",
    "}": "❵⦄",
    "_": "ˍ‿⎯",
    "#": "⌗♯⋕",
    ":": "։׃꞉ː∶ː",
    "`": "ˋ՝‵",
}
_LETTERS = {
    "a": "аαɑ", "c": "сϲ", "d": "ԁ", "e": "еε", "g": "ɡց", "h": "һհ", "i": "іıι", "j": "ј", "k": "кκ", "m": "м", "n": "ոη",
    "o": "оοօ", "p": "рρ", "q": "ԛ", "r": "г", "s": "ѕꜱ", "t": "тτ", "u": "սυ", "v": "νѵ", "w": "ԝѡ", "x": "хχ", "y": "уγ",
    "A": "АΑ", "B": "ВΒ", "C": "СϹ", "E": "ЕΕ", "H": "НΗ", "I": "ІΙ", "J": "Ј", "K": "КΚ", "M": "МΜ", "N": "Ν", "O": "ОΟ",
    "P": "РΡ", "S": "Ѕ", "T": "ТΤ", "X": "ХΧ", "Y": "УΥ", "Z": "Ζ",
}  # fmt: skip
_READ = {other: character for table in (_DELIMITERS, _LETTERS) for character, others in table.items() for other in others}
_QUOTES = {ord('"'): "'", ord("＂"): "'", ord("“"): "‘", ord("”"): "’", ord("„"): "‚", ord("‟"): "‛"}
_QUOTES |= {ord("〝"): "'", ord("〞"): "'", ord("〟"): "'", ord("″"): "′′", ord("ʺ"): "ʹʹ"}


def as_read(text: str) -> str:
    """``text`` with look-alikes as the ASCII characters that they read like; as many characters, at the same places."""
    return text if text.isascii() else "".join(map(_as_read, text))


@cache
def _as_read(character: str) -> str:
    if character.isascii():
        return character
    first = unicodedata.normalize("NFKD", _READ.get(character, character))[0]
    return _READ.get(first, first)


def without_double_quotes(text: str) -> str:
    """``text`` with single quotes for double ones, whatever their shape."""
    return text.translate(_QUOTES)
