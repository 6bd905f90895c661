"""Texts to learn from, and lines of real corpora that are not part of the project."""

import random
from collections import Counter
from pathlib import Path

import pytest

from tests.contracts.tokenizer import NASTY, PLAIN, rows

CORPORA = Path(__file__).parents[3].parent / "shared" / "data"
FILES = {  # name: encoding
    "sst2_socher/train.tsv": "utf-8",
    "rotten_tomatoes_mr/rt-polarity.pos": "latin-1",
    "trec/TREC.train": "latin-1",
    "cola/in_domain_train.tsv": "utf-8",
    "bbc_news_summary/bbc_news_summary.jsonl": "utf-8",
    "conll2002_es/esp.testa": "utf-8",
    "stsb_en_es/stsb-es-train.csv": "utf-8",
    "xquad/xquad.en.json": "utf-8",
    "tatoeba_eng_spa/spa.txt": "utf-8",
    "quijote_es/quijote.txt": "utf-8",
}

# Small, in two languages, with what a tokenizer can trip over.
TEXTS = [
    *PLAIN * 4,
    "The quick brown fox jumps over the lazy dog, and the dog doesn't mind.",
    "El veloz murciélago hindú comía feliz cardillo y kiwi.",
    "La cigüeña tocaba el saxofón detrás del palenque de paja.",
    "¿Cuántas palabras hay aquí? ¡Muchas! Unas cuantas, y otras más.",
    *(f"word number {i} of {i * 7} words" for i in range(40)),
    *NASTY,
]


def real_lines(number: int = 4000) -> list[str]:
    """So many different lines, of every corpus about as many, the same each time; skips the test where the corpora
    are not."""
    if not CORPORA.exists():
        pytest.skip("the corpora are not here")
    lines: list[str] = []
    left: list[str] = []
    for name, encoding in FILES.items():
        text = (CORPORA / name).read_text(encoding=encoding)
        found = list(dict.fromkeys(line[:3000] for line in text.split("\n") if line.strip()))
        random.Random(0).shuffle(found)
        lines += found[: number // len(FILES)]
        left += found[number // len(FILES) :]
    more = random.Random(0).sample(left, len(left))
    return list(dict.fromkeys([*lines, *more]))[:number]


# Of real lines that a published vocabulary is compared on; the contract of its own paths, too.
MANY = [4000, pytest.param(10_000, marks=pytest.mark.slow)]


def shuffled(counts: Counter[str], seed: int = 0) -> Counter[str]:
    items = list(counts.items())
    random.Random(seed).shuffle(items)
    return Counter(dict(items))


def differing(tokenizer, texts: list[str], reference: list[list[int]]) -> list[str]:
    """The texts to which the reference gives other ids."""
    found = rows(*tokenizer.encode(texts))
    return [text for text, ours, theirs in zip(texts, found, reference, strict=True) if ours != theirs]


def pieces(tokenizer, text: str) -> list[str]:
    return [tokenizer.vocabulary[i] for i in tokenizer.encode([text])[0]]
