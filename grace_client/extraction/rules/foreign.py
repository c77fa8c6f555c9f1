"""Answers of one to three words in another language: "Ja", "dos"."""

from __future__ import annotations

import re
from collections.abc import Mapping

_COUNT = {
    "0": "keine keiner keines zéro aucun aucune cero ninguno ninguna nessuno nessuna nenhum nenhuma geen 零",
    "1": "eins une uno una uma een één 1个 一 一个 一つ",
    "2": "zwei deux dos dois duas twee 2个 二 两 兩 两个 兩個 二つ",
    "3": "drei trois tres três tre drie alle alle_drei los_tres tous_les_trois tutti_e_tre todos todas "
    "tutti tutte tous toutes 3个 三 三个 三個 三つ",
}
_YES_NO = {
    "yes": "ja jawohl oui si sí sì sim はい 是 是的 да",
    "no": "nein non não nee いいえ 不 不是 нет",
}
COUNT, YES_NO = (
    {word: value for value, words in values.items() for word in words.split()} for values in (_COUNT, _YES_NO)
)
"""Words for a number of three items, and for yes and no."""
_WORD = re.compile(r"\s*[\"'(]*(\w+(?: \w+){0,2})[.!\"')。！]*\s*")


def read(words: Mapping[str, str], plain: str) -> tuple[str, tuple[int, int]] | None:
    """The value of an answer of one to three foreign words, and its start and end; None for other answers."""
    match = _WORD.fullmatch(plain)
    value = words.get(match[1].replace(" ", "_")) if match else None
    return (value, match.span(1)) if match and value else None
