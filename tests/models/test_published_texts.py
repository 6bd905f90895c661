"""Texts and pairs as published models read them: tokenizer of the folder and packing against torch `transformers`."""

import io
import json
import shutil

import numpy as np
import pytest

from data.tokenizers import from_files
from data.tokenizers.bpe import BytePair
from models.families import FAMILIES
from models.families.base import Vocabulary
from models.packing import pack
from tests.data.tokenizers.texts import CORPORA, TEXTS

LINES = [text for text in TEXTS if text.isprintable() and text.strip() and "<" not in text and "[" not in text][:300]
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = [*SPECIAL, ",", ".", "mas", "alla", "el", "la", "de", "que", "una", *"abcdefghijklmnopqrstuvwxyz"]


def bert(folder):
    pieces = [*WORDS, *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n")


def bpe(special):
    def write(folder):
        made = BytePair.learn(BytePair.count(LINES), vocabulary_size=400)
        pieces = [*special, *made.vocabulary[5:]]
        (folder / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate(pieces)}))
        (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(made.merges) + "\n")

    return write


def t5(folder):
    """The published one: `transformers` reads no SentencePiece model beside TensorFlow's protobuf."""
    if not CORPORA.exists():
        pytest.skip("the published vocabulary is not here")
    for file in (CORPORA / "tokenizer_t5_small").iterdir():
        shutil.copy(file, folder)


def albert(folder):
    """As `transformers` writes one, given the pieces and the rules of the model, which it cannot read from it there."""
    import sentencepiece
    import transformers
    from google.protobuf.empty_pb2 import Empty
    from google.protobuf.unknown_fields import UnknownFieldSet

    def field(message, number):
        return next(f.data for f in UnknownFieldSet(Empty.FromString(message)) if f.field_number == number)

    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(text.lower() for text in LINES),
        model_writer=made,
        vocab_size=300,
        hard_vocab_limit=False,
        pad_id=0,
        unk_id=1,
        bos_id=-1,
        eos_id=-1,
        control_symbols=list(SPECIAL[2:]),
        minloglevel=2,
    )
    model = made.getvalue()
    (folder / "spiece.model").write_bytes(model)
    known = sentencepiece.SentencePieceProcessor(model_proto=model)
    pieces = [(known.id_to_piece(i), known.get_score(i)) for i in range(known.vocab_size())]
    rules = field(field(model, 3), 2)  # ModelProto.normalizer_spec.precompiled_charsmap
    transformers.AlbertTokenizer(pieces, _spm_precompiled_charsmap=rules).save_pretrained(folder)


FOLDERS = {
    "albert": albert,
    "bert": bert,
    "distilbert": bert,
    "roberta": bpe(["<s>", "<pad>", "</s>", "<unk>", "<mask>"]),
    "gpt2": bpe(["<|endoftext|>"]),
    "t5": t5,
}


@pytest.mark.parametrize("name", FOLDERS)
def test_ids_of_texts_and_pairs(name, tmp_path):
    transformers = pytest.importorskip("transformers", reason="the extra `reference` is not installed")
    FOLDERS[name](tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": name}))
    reference = transformers.AutoTokenizer.from_pretrained(tmp_path)
    ours = from_files(tmp_path)
    texts = [*LINES, "``El NIÑO'' co\u0301mo", "''Más'' ﬁn"]
    if name == "albert":  # in `tokenizers` the model's rules do not join Hangul; a long run of a letter has equal cuts
        texts = [text for text in texts if "한" not in text and len(text) < 300]
    pairs = texts[1:] + texts[:1]
    for given in ([texts], [texts, pairs]) if name != "gpt2" else ([texts],):  # GPT-2 has no way to part a pair
        batch = {}
        for ids, length, each in zip(("ids", "ids_pair"), ("length", "length_pair"), given, strict=False):
            ragged = ours.graph(each)
            batch |= {ids: ragged.to_tensor(), length: np.diff(ragged.row_splits).astype(np.int32)}
        packed = pack(batch, Vocabulary.of(ours), 512, FAMILIES[name].special_tokens)
        found = [row[keep].tolist() for row, keep in zip(packed["ids"].numpy(), packed["mask"].numpy(), strict=True)]
        expected = reference(*given, truncation="longest_first", max_length=512)["input_ids"]
        wrong = [n for n, rows in enumerate(zip(found, expected, strict=True)) if rows[0] != rows[1]]
        assert not wrong, [(texts[n], found[n], expected[n]) for n in wrong[:3]]
