"""Every visible string of the report, from one catalogue per language: `catalogue/en.toml`."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

from judging.sentence import ENGLISH

CATALOGUES = Path(__file__).parent / "catalogue"


class Words:
    """`words("ledger.sent", count=3)`: the sentence of that key, with its blanks filled.

    A key that is not there is an error, so that no page goes out with a hole in it.
    """

    def __init__(self, texts: dict[str, str], language: str) -> None:
        self.texts = texts
        self.language = language

    def __call__(self, key: str, **values: object) -> str:
        text = self.texts[key]
        return text.format(**values) if values else text

    def or_plain(self, key: str) -> str:
        """The sentence of `key`, else the last part of the key made readable: names that come from the evidence."""
        return self.texts.get(key) or plain(key.rpartition(".")[2])

    @property
    def sentence(self) -> dict[str, str]:
        """The words of the one sentence: the harness's English, overlaid by this catalogue's `[sentence]`."""
        own = {k.removeprefix("sentence."): v for k, v in self.texts.items() if k.startswith("sentence.")}
        return {**ENGLISH, **own}


def plain(name: str) -> str:
    """`CenterPowerLoss`, `center_power_loss` and `center-power-loss` as people write it: center power loss."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return re.sub(r"[-_\s]+", " ", spaced).strip().lower()


@cache
def words(language: str = "en") -> Words:
    tables = tomllib.loads((CATALOGUES / f"{language}.toml").read_text(encoding="utf-8"))
    texts = {f"{table}.{key}": text for table, entries in tables.items() for key, text in entries.items()}
    return Words(texts, language)
