"""Tests `components/statistics_gen.py` and `components/text_counts.py`: exact counts, whatever the blocks."""

import json
import re
import unicodedata
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.statistics_gen import count_shard, describe_lengths, merge, statistics_gen
from components.text_counts import Vocabulary, character_class, commonest, count_texts, normalised, script
from tests.contracts.component import check_component, make_examples, run

ROWS = {
    "train": [
        {"text": "The good, the bad.", "label": "pos", "weight": 1.0},
        {"text": "good film", "label": "pos", "weight": 0.1},
        {"text": "good film", "label": "neg", "weight": 0.2},
        {"text": "día 😀", "label": "neg", "weight": 0.3},
    ],
    "valid": [{"text": "bad", "label": "neg", "weight": 1.0}],
    "test": [{"text": "good film", "label": "pos", "weight": 1.0}, {"text": "new", "label": "new", "weight": 1.0}],
}
NASTY = [
    "",
    " ",
    "a",
    "  two  words  ",
    "no\u00a0break\u2003space\u3000wide",
    "e\u0301 n\u0303 combining",
    "الكتاب، مُفيد",
    "日本語のテスト。abc漢字 x",
    "カタカナ・です",
    "👩‍👩‍👧 family ❤️!",
    "nul\0inside",
    "tab\tline\nend\r\n",
    "𝔘nicode 𠀀𠀁",
    "¿Qué? «así» — l'été",
    "x" * 10_000,
    "Ünder… $5 C++ #tag",
]


def words_of(text: str) -> list[str]:
    """The words of a text in plain Python: what text_counts.py does by the buffer."""
    alone = r"[\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
    return re.findall(rf"{alone}|(?:(?!{alone})[^\x00-\x20\x85\s\u001c-\u001f])+", text)


def test_counts_of_a_small_span(tmp_path):
    examples = make_examples(tmp_path / "examples", ROWS, span="7")
    statistics = run(statistics_gen, tmp_path / "statistics", {"examples": examples})
    report = json.loads((statistics.path / "statistics.json").read_text())
    train, test = report["splits"]["train"], report["splits"]["test"]
    assert (report["span"], statistics.properties["span"]) == ("7", "7")
    assert statistics.properties["rows"] == {"train": 4, "valid": 1, "test": 2}
    assert (train["rows"], train["weight"]) == (4, 1.6)
    assert train["labels"] == {"neg": 2, "pos": 2}
    assert train["duplicates"] == {"inside": 1}
    assert test["duplicates"] == {"inside": 0, "in_train": 1, "in_valid": 0}
    assert train["fields"]["text"] == {"type": "string", "missing": 0}
    assert (
        train["texts"]["text"]["characters"] | {"total": 41, "min": 5, "p50": 9, "max": 18}
        == (train["texts"]["text"]["characters"])
    )
    assert train["texts"]["text"]["words"]["mean"] == 2.5
    assert train["vocabulary"] == {
        "running": 10,
        "distinct": 6,
        "once": 3,
        "dropped": 0,
        "top": {"good": 3, "film": 2, "the": 2, "bad": 1, "día": 1, "😀": 1},
    }
    assert train["scripts"] == {"Latin": 1.0}
    assert train["character_classes"]["emoji"] == round(1 / 41, 7)
    assert pq.read_table(statistics.path / "words/train.parquet").to_pydict()["word"][:2] == ["good", "film"]


def test_contract(tmp_path):
    rows = [{"text": f"word{i % 7} row {i} “quoted” día", "label": str(i % 3), "weight": 0.1 * i} for i in range(200)]
    check_component(
        statistics_gen,
        tmp_path,
        {"examples": make_examples(tmp_path / "examples", {"train": rows, "test": rows[::9]}, shards=7)},
        max_words=20,
    )


def test_order_of_blocks_does_not_show(tmp_path):
    rows = [{"text": f"{i} {i % 5}", "label": "a", "weight": i / 7} for i in range(60)]
    examples = make_examples(tmp_path / "examples", {"train": rows}, shards=6)
    found = [count_shard(("train", path), str(tmp_path), 1000) for path in examples.shards("train")]
    described = []
    for order in (found, found[::-1], [merge(found[3:]), merge([]), merge(found[:3])]):
        counts = merge(order)["train"]
        described.append((counts.rows, sorted(counts.weights), str(counts.histograms)))
    assert described[0] == described[1] == described[2]


def test_duplicates_are_exact(tmp_path):
    numbers = np.random.default_rng(0).integers(0, 300, 500)
    train, test = ([{"text": str(n), "label": "a"} for n in part] for part in (numbers[:350], numbers[350:]))
    examples = make_examples(tmp_path / "examples", {"train": train, "test": test}, shards=5)
    statistics = run(statistics_gen, tmp_path / "statistics", {"examples": examples})
    splits = json.loads((statistics.path / "statistics.json").read_text())["splits"]
    known = set(numbers[:350])
    assert splits["train"]["duplicates"] == {"inside": 350 - len(known)}
    assert splits["test"]["duplicates"]["in_train"] == sum(n in known for n in numbers[350:])
    assert splits["test"]["duplicates"]["in_valid"] == 0


def test_pairs_are_the_same_only_with_both_texts(tmp_path):
    train = [{"text": "a", "text_pair": p, "label": "x"} for p in ("b", "c", "b")]
    examples = make_examples(
        tmp_path / "examples", {"train": train, "test": [{"text": "a", "text_pair": "d", "label": "x"}]}
    )
    statistics = run(statistics_gen, tmp_path / "statistics", {"examples": examples})
    splits = json.loads((statistics.path / "statistics.json").read_text())["splits"]
    assert splits["train"]["duplicates"] == {"inside": 1}
    assert splits["test"]["duplicates"] == {"inside": 0, "in_train": 0, "in_valid": 0}
    assert sorted(splits["train"]["texts"]) == ["text", "text_pair"]
    assert splits["train"]["vocabulary"]["top"] == {"a": 3, "b": 2, "c": 1}


def test_a_field_that_some_rows_lack_and_a_text_without_words(tmp_path):
    train = [{"text": " ", "label": "x", "site": None}, {"text": "a", "label": None, "site": None}]
    examples = make_examples(tmp_path / "examples", {"train": train}, shards=1)
    statistics = run(statistics_gen, tmp_path / "statistics", {"examples": examples})
    split = json.loads((statistics.path / "statistics.json").read_text())["splits"]["train"]
    assert {name: field["missing"] for name, field in split["fields"].items()} == {
        "key": 0,
        "label": 1,
        "site": 2,
        "text": 0,
    }
    assert split["texts"]["text"]["empty"] == 1
    assert split["labels"] == {"x": 1}


@pytest.mark.parametrize("texts", [[t] for t in NASTY] + [NASTY, NASTY[::-1], [None, "a b", None], [""] * 3])
def test_a_batch_is_counted_as_its_texts_one_by_one(texts):
    batch = pa.array([None, *texts], pa.string()).slice(1)  # a slice: offsets do not start at 0
    counts = count_texts(batch)
    plain = [text or "" for text in texts]
    assert counts.characters.tolist() == [len(text) for text in plain]
    assert counts.words.tolist() == [len(words_of(text)) for text in plain]
    codes = Counter(map(ord, "".join(plain)))
    assert {int(c): int(counts.codes[c]) for c in np.flatnonzero(counts.codes)} == codes
    vocabulary = Vocabulary(100)
    vocabulary.add(normalised(counts.slices))
    expected = Counter(trimmed(word) for text in plain for word in words_of(text))
    expected.pop("", None)
    assert dict(zip(*vocabulary.merged().to_pydict().values(), strict=True)) == expected


def trimmed(word: str) -> str:
    def outside(character):
        return character_class(character) in ("punctuation", "spaces", "controls")

    while word and outside(word[0]):
        word = word[1:]
    while word and outside(word[-1]):
        word = word[:-1]
    return word.lower()


@pytest.mark.parametrize("rows", [1, 2, 50, 997])
def test_lengths_are_exact(rows):
    lengths = np.random.default_rng(rows).integers(0, 1000, rows)
    figures = describe_lengths(*np.unique(lengths, return_counts=True))
    for p in (5, 25, 50, 75, 95, 99):
        assert figures[f"p{p}"] == np.percentile(lengths, p, method="inverted_cdf")
    assert figures["mean"] == pytest.approx(lengths.mean(), rel=1e-5)
    assert figures["deviation"] == pytest.approx(lengths.std(), rel=1e-5)
    assert (figures["min"], figures["max"], figures["total"]) == (lengths.min(), lengths.max(), lengths.sum())


def test_past_its_limit_a_vocabulary_keeps_the_commonest_and_says_what_went():
    vocabulary = Vocabulary(3)
    vocabulary.add(pa.table({"word": ["e", "d", "c", "b", "a"], "count": [1, 5, 1, 2, 1]}))
    words = commonest(vocabulary.merged(), 9)
    assert words.to_pydict() == {"word": ["d", "b", "a"], "count": [5, 2, 1]}
    assert (vocabulary.dropped, vocabulary.running) == (2, 10)


def test_memory_of_a_vocabulary_is_bounded():
    vocabulary, numbers = Vocabulary(50_000), np.random.default_rng(0)
    for _ in range(20):
        words = pa.array(numbers.integers(0, 10**9, 30_000)).cast(pa.string())
        vocabulary.add(pa.table({"word": words, "count": pa.array([1] * 30_000, pa.int64())}))
        assert vocabulary._held <= 300_000
    assert len(vocabulary.merged()) == 50_000


@pytest.mark.parametrize(
    ("character", "kind"),
    [("a", "letters"), ("ñ", "letters"), ("\u0301", "marks"), ("٣", "digits"), ("¿", "punctuation"), ("€", "symbols")]
    + [("\u3000", "spaces"), ("\n", "spaces"), ("\0", "controls"), ("😀", "emoji"), ("❤", "emoji"), ("🏽", "emoji")],
)
def test_character_classes(character, kind):
    assert character_class(character) == kind


@pytest.mark.parametrize(
    ("letter", "name"),
    [
        ("a", "Latin"),
        ("Ａ", "Latin"),
        ("я", "Cyrillic"),
        ("ك", "Arabic"),
        ("漢", "Han"),
        ("々", "Han"),
        ("の", "Hiragana"),
    ]
    + [("ﾃ", "Katakana"), ("ー", "Katakana"), ("한", "Hangul"), ("ª", "Other"), ("\U00020000", "Han")],
)
def test_scripts(letter, name):
    assert unicodedata.category(letter)[0] == "L"
    assert script(letter) == name
