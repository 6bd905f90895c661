"""The table and how a saved tokenizer is loaded."""

import json
import pickle
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from data.errors import DataError
from data.tokenizers import TOKENIZERS, from_files, load_tokenizer
from data.tokenizers.base import DESCRIPTION
from data.tokenizers.words import Words
from tests.data.tokenizers.texts import TEXTS

ROOT = Path(__file__).parents[3]


def test_every_entry_is_under_its_own_name():
    assert {name: tokenizer.kind for name, tokenizer in TOKENIZERS.items()} == {name: name for name in TOKENIZERS}


def test_the_table_loads_no_tensorflow():
    heavy = ("tensorflow", "sentencepiece", "tokenizers")
    code = f"import sys, data.tokenizers; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_saved_and_loaded(tmp_path, kind):
    tokenizer = TOKENIZERS[kind].learn(TOKENIZERS[kind].count(TEXTS), vocabulary_size=300)
    tokenizer.save(tmp_path)
    about = json.loads((tmp_path / DESCRIPTION).read_text())
    assert about["kind"] == kind
    assert about["special"] == {"pad": 0, "unknown": 1, "start": 2, "end": 3, "mask": 4}
    assert load_tokenizer(tmp_path) is load_tokenizer(tmp_path)
    assert from_files(tmp_path).vocabulary == tokenizer.vocabulary


def test_what_pickle_carries():
    """The vocabulary, not the tables."""
    words = TOKENIZERS["words"].learn(TOKENIZERS["words"].count(TEXTS), vocabulary_size=100)
    before = pickle.dumps(words)
    words.encode(TEXTS)
    assert pickle.dumps(words) == before and len(before) < 3000


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_many_calls_give_what_one_gives(monkeypatch, kind):
    tokenizer = TOKENIZERS[kind].learn(TOKENIZERS[kind].count(TEXTS), vocabulary_size=300)
    expected = [part.tolist() for part in tokenizer.encode(TEXTS)]
    monkeypatch.setattr(TOKENIZERS[kind], "rows_per_call", 7)
    assert [part.tolist() for part in tokenizer.encode(TEXTS)] == expected


def test_threads_share_one_table():
    class Slow(Words):
        def _build(self):
            built.append(1)
            time.sleep(0.05)
            return super()._build()

    built, slow = [], Slow.learn(Words.count(TEXTS), vocabulary_size=100)
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(job) for job in (lambda: slow.encode(TEXTS), lambda: slow.trackables) * 2]
        assert [len(job.result()) for job in jobs] == [2, 3] * 2  # ids and splits; two mappers and a table
    assert built == [1]


def test_a_directory_without_a_tokenizer(tmp_path):
    with pytest.raises(DataError, match=f"{DESCRIPTION}: not found"):
        load_tokenizer(tmp_path)
