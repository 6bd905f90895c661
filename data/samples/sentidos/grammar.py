"""Writes the sample of word senses: pairs of Spanish sentences with the same word, in one sense or in two.

    python -m data.samples.sentidos.grammar

The word has one form in both, and as many pairs of each word have one sense as have two, so the word alone tells
nothing: only what stands around it does. The file is the same bytes on every run.
"""

import csv
import io
import random
import re
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
HEADER = ("id", "palabra", "texto", "otro", "lugar", "otro_lugar", "mismo")
ROWS = 3000
OPENINGS = ("", "Ayer ", "Dicen que ", "Por la mañana ", "Según mi vecina, ", "Al final ", "Otra vez ")
TAILS = ("", " y nadie dijo nada", " como siempre", ", o eso creo", " sin avisar", " este año")
CHOICE = re.compile(r"\[([^\]]*)\]")


class Senses:
    """Sentences of the lexicon's words, drawn with what stays the same in every version of Python: `random()`."""

    def __init__(self, seed: int):
        self._random = random.Random(seed).random
        self._lexicon = tomllib.loads((HERE / "lexicon.toml").read_text("utf-8"))
        self.words = list(self._lexicon)

    def pick(self, options):
        return options[int(self._random() * len(options))]

    def pair(self, word: str, same: bool) -> tuple[str, str, str, str]:
        """Two sentences, and the word's places in them, `start:end`; no two are the same."""
        senses = list(self._lexicon[word].values())
        first = self.pick([0, 1])
        one = self._sentence(word, senses[first])
        while (two := self._sentence(word, senses[first if same else 1 - first]))[0] == one[0]:
            pass
        return one[0], two[0], one[1], two[1]

    def _sentence(self, word: str, sense: list[str]) -> tuple[str, str]:
        text = CHOICE.sub(lambda found: self.pick(found[1].split("|")), self.pick(sense))
        text = f"{self.pick(OPENINGS)}{text}{self.pick(TAILS)}."
        start = text.index("{}")
        text = text.replace("{}", word)
        return text[0].upper() + text[1:], f"{start}:{start + len(word)}"


def file_bytes() -> bytes:
    """A whole CSV file: header and ROWS rows."""
    senses, out = Senses(seed=1), io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    for n in range(ROWS):
        word, same = senses.words[n % len(senses.words)], n // len(senses.words) % 2 == 0
        writer.writerow((n + 1, word, *senses.pair(word, same), "sí" if same else "no"))
    return out.getvalue().encode("utf-8")


def main() -> None:
    (HERE / "pairs.csv").write_bytes(file_bytes())
    print(f"pairs.csv: {ROWS} rows")


if __name__ == "__main__":
    main()
