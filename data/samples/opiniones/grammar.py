"""Writes the sample: Spanish reviews whose label hangs on the order of the words and not on which they are.

    python -m data.samples.opiniones.grammar

A review is drawn from `rules.toml` (how judgements are reversed) and `lexicon.toml` (what is judged).
Nearly every one holds words of both polarities; concessions, negations, other people's opinions and
second thoughts say which of them count. The files are the same bytes on every run.
"""

import csv
import io
import random
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
HEADER = ("id", "opinion", "sentimiento", "producto")
POSITIVE, NEGATIVE = "positivo", "negativo"
PLANTED = 8  # broken rows in each file, one of each kind in `spoilt`

SLOT = re.compile(r"\{([^{}]+)\}")
SENTENCE = re.compile(r'(?:^|[.!?] )[¿¡"]*\w')
THIS = {"el": "este", "la": "esta", "los": "estos", "las": "estas"}
PRONOUN = {"el": "lo", "la": "la", "los": "los", "las": "las"}


class Span(NamedTuple):
    """What sets one file apart: `domains` and `shapes` are weights, the rest are counts and shares."""

    rows: int
    seed: int
    positive: float
    domains: dict[str, int]
    shapes: dict[str, int]
    opening: float  # share of reviews with a neutral sentence first
    closing: float  # ... last
    second: float  # ... with a second shape of the same polarity


SPANS = {
    1: Span(
        rows=8000,
        seed=1,
        positive=0.53,
        domains={"electronica": 4, "audio": 2, "cine": 4, "restaurante": 4, "libros": 2, "calzado": 2},
        shapes={"simple": 5, "blunt": 1, "contrast": 4, "negation": 2, "report": 2, "turn": 1},
        opening=0.5,
        closing=0.3,
        second=0.2,
    ),
    2: Span(
        rows=2000,
        seed=2,
        positive=0.4,
        domains={"hotel": 5, "hogar": 4, "electronica": 2, "audio": 1, "cine": 2, "restaurante": 3, "calzado": 1},
        shapes={"simple": 3, "blunt": 1, "contrast": 4, "negation": 2, "report": 2, "turn": 2},
        opening=0.8,
        closing=0.6,
        second=0.5,
    ),
}


class Chance:
    """Draws that stay the same in every version of Python: only `random()` promises that."""

    def __init__(self, seed: int):
        self._random = random.Random(seed).random

    def happens(self, share: float) -> bool:
        return self._random() < share

    def pick(self, options: list):
        return options[int(self._random() * len(options))]

    def weighted(self, weights: dict[str, int]) -> str:
        return self.pick([name for name, weight in weights.items() for _ in range(weight)])


class Review:
    """One reviewer writing about one product: expands rules, keeping the agreement right."""

    def __init__(self, chance: Chance, rules: dict, domain: dict):
        self._chance = chance
        self._rules = rules | domain
        self._article, self.product = chance.pick(domain["products"]).split(" ", 1)
        self._ending = chance.pick(["o", "a"])
        self._unused = list(domain["aspects"])
        self._aspect = self._noun = ""

    def write(self, rule: str, positive: bool) -> str:
        """An expansion of `rule` for a judgement that is `positive` or not."""
        options = self._rules[rule]
        if isinstance(options[0], list):
            options = options[0 if positive else 1]
        text = self._chance.pick(options)
        if rule == "adjective":
            text = agree(text, self._noun.split(" ")[0])
        return SLOT.sub(lambda slot: self._fill(slot[1], positive), text)

    def _fill(self, slot: str, positive: bool) -> str:
        match slot:
            case "new":
                self._draw_aspect()
                return ""
            case "the":
                return self._noun
            case "noun":
                return self._noun.split(" ", 1)[1]
            case "this":
                return f"{THIS[self._article]} {self.product}"
            case "lo":
                return PRONOUN[self._article]
            case "o/a":
                return self._ending
            case "+said":
                return self._chance.pick(self._rules["aspects"][self._aspect][0 if positive else 1])
        if "|" in slot:
            return slot.split("|")[self._noun.startswith(("los ", "las "))]
        if slot[0] in "+-?":
            same = self._chance.happens(0.5) if slot[0] == "?" else slot[0] == "+"
            return self.write(slot[1:], positive == same)
        return self.write(slot, positive)

    def _draw_aspect(self) -> None:
        self._aspect = self._chance.pick(self._unused)
        self._unused.remove(self._aspect)
        self._noun = self._chance.pick(self._aspect.split(", "))


def agree(adjective: str, article: str) -> str:
    """The form of a masculine singular adjective that goes with `article`: pésimo, las -> pésimas."""
    if article in ("la", "las") and adjective.endswith("o"):
        adjective = adjective[:-1] + "a"
    if article in ("el", "la"):
        return adjective
    if adjective.endswith("z"):
        return adjective[:-1] + "ces"
    return adjective + ("s" if adjective[-1] in "aeo" else "es")


def opinions(span: Span) -> Iterator[tuple[str, str, str]]:
    """Yields (opinion, sentimiento, producto) without end."""
    chance = Chance(span.seed)
    rules = tomllib.loads((HERE / "rules.toml").read_text("utf-8"))
    domains = tomllib.loads((HERE / "lexicon.toml").read_text("utf-8"))
    while True:
        review = Review(chance, rules, domains[chance.weighted(span.domains)])
        positive = chance.happens(span.positive)
        shapes = [chance.weighted(span.shapes) for _ in range(1 + chance.happens(span.second))]
        if "blunt" in shapes:  # leaves nothing to add
            shapes = ["blunt"]
        if chance.happens(span.opening):
            shapes.insert(0, "opening")
        if chance.happens(span.closing):
            shapes.append("closing")
        text = " ".join(review.write(shape, positive) for shape in shapes)
        text = SENTENCE.sub(lambda start: start[0][:-1] + start[0][-1].upper(), text)
        if chance.happens(0.003):
            text = text.replace(". ", ".\n", 1)
        yield text, POSITIVE if positive else NEGATIVE, review.product


def spoilt(row: tuple[str, str, str, str]) -> list[bytes]:
    """A row spoilt in each of the ways of real files: PLANTED lines, every one for a reader to reject."""
    number, text, label, product = row
    return [
        _line(number, text, label),  # a column too few
        _line(number),
        _line(*row, "revisada"),  # a column too many
        _line(number, "", label, product),
        _line(number, "   ", label, product),
        _line(number, text, "", product),
        _line(*row).decode("utf-8").encode("latin-1"),
        # Last, because a quote that never closes swallows the rest of the file.
        '{},"{},{},{}\n'.format(number, text.replace('"', ""), label, product).encode("utf-8"),
    ]


def _line(*row: str) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(row)
    return line.getvalue().encode("utf-8")


def file_bytes(span: Span) -> bytes:
    """A whole CSV file: header and `span.rows` rows, of which PLANTED are broken."""
    step = span.rows // PLANTED
    lines = [_line(*HEADER)]
    for number, opinion in zip(range(1, span.rows + 1), opinions(span), strict=False):
        row = (str(number), *opinion)
        lines.append(_line(*row) if number % step else spoilt(row)[number // step - 1])
    return b"".join(lines)


def main() -> None:
    for number, span in SPANS.items():
        path = HERE / f"span-{number}.csv"
        path.write_bytes(file_bytes(span))
        print(f"{path.name}: {span.rows} rows, {PLANTED} of them broken")


if __name__ == "__main__":
    main()
