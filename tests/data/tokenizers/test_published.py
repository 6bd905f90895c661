"""published: vocabularies in the files that others publish, and what is wrong with some."""

import json

import pytest
import tokenizers as reference

from data.errors import ConfigError
from data.tokenizers import from_files
from data.tokenizers.base import SpecialTokens
from data.tokenizers.bpe import BytePair
from data.tokenizers.sentencepiece import SentencePiece
from data.tokenizers.wordpiece import WordPiece
from tests.contracts.tokenizer import NASTY, rows
from tests.data.tokenizers.texts import TEXTS, differing, pieces

SPECIAL = ("[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]")
UNCASED = [*SPECIAL, "más", "mas", "mar", "##cha", ","]


@pytest.fixture(scope="module")
def bpe():
    return BytePair.learn(BytePair.count(TEXTS), vocabulary_size=400)


@pytest.fixture(scope="module")
def unigram():
    return SentencePiece.learn(SentencePiece.count(TEXTS), vocabulary_size=300)


def write_vocabulary(folder, vocabulary=UNCASED, name="vocab.txt"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    return folder / name


def write_bpe(folder, bpe, special=("<|endoftext|>",), vocabulary="vocab.json"):
    folder.mkdir(parents=True, exist_ok=True)
    ids = {piece: i for i, piece in enumerate([*bpe.vocabulary[5:], *special])}
    (folder / vocabulary).write_text(json.dumps(ids), encoding="utf-8")
    merges = vocabulary.replace("vocabulary", "merges").replace("vocab", "merges").replace("json", "txt")
    (folder / merges).write_text("#version: 0.2\n" + "\n".join(bpe.merges) + "\n", encoding="utf-8")
    return folder / vocabulary


def write_preset(folder, class_name, **config):
    (folder / "assets" / "tokenizer").mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps({"class_name": class_name, "config": config}))
    return folder / "assets" / "tokenizer"


@pytest.mark.parametrize("folder", [False, True])
def test_vocab_txt(tmp_path, folder):
    file = write_vocabulary(tmp_path)
    tokenizer = from_files(tmp_path if folder else file)
    assert tokenizer.vocabulary == UNCASED
    assert tokenizer.special == SpecialTokens(pad=3, unknown=0, start=1, end=2, mask=4)
    assert tokenizer.options == {"lowercase": True, "strip_accents": False}
    assert pieces(tokenizer, "MÁS, marcha") == ["más", ",", "mar", "##cha"]
    assert pieces(from_files(file, strip_accents=True), "MÁS") == ["mas"]


def test_a_vocabulary_with_capitals_keeps_the_case(tmp_path):
    file = write_vocabulary(tmp_path, [*UNCASED, "[unused1]", "Mar"])
    assert from_files(file).options["lowercase"] is False
    assert from_files(file, lowercase=True).options["lowercase"] is True


@pytest.mark.parametrize(
    ("config", "lowercase", "strip_accents"),
    [
        ({"do_lower_case": True}, True, True),
        ({"do_lower_case": True, "strip_accents": False}, True, False),
        ({"do_lower_case": False, "strip_accents": None}, False, False),
        ({"model_max_length": 512}, True, False),
    ],
)
def test_the_settings_beside_a_vocabulary(tmp_path, config, lowercase, strip_accents):
    write_vocabulary(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    assert from_files(tmp_path).options == {"lowercase": lowercase, "strip_accents": strip_accents}


def test_beside_a_published_model_accents_go_with_the_case(tmp_path):
    """As torch `transformers` reads a folder of config.json and vocab.txt; KerasHub's config.json says nothing."""
    write_vocabulary(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"registered_name": "keras_hub>BertBackbone"}))
    assert from_files(tmp_path).options == {"lowercase": True, "strip_accents": False}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    assert from_files(tmp_path).options == {"lowercase": True, "strip_accents": True}
    assert pieces(from_files(tmp_path), "MÁS") == ["mas"]
    write_vocabulary(tmp_path, [*UNCASED, "Mar"])
    assert from_files(tmp_path).options == {"lowercase": False, "strip_accents": False}


@pytest.mark.parametrize("name", ["vocab.json", "gpt2-vocab.json"])
def test_vocab_json_and_merges(tmp_path, bpe, name):
    file = write_bpe(tmp_path, bpe, vocabulary=name)
    for path in (file, tmp_path):
        tokenizer = from_files(path)
        end = len(tokenizer.vocabulary) - 1
        assert (tokenizer.kind, tokenizer.merges) == ("bpe", bpe.merges)
        assert tokenizer.special == SpecialTokens(pad=end, start=end, end=end)
    expected = [[i - 5 for i in row] for row in rows(*bpe.encode(TEXTS))]
    assert differing(tokenizer, TEXTS, expected) == []


def test_special_tokens_among_the_pieces_and_fillers(tmp_path, bpe):
    """As RoBERTa has them; no text gives a filler either."""
    special = ("<s>", "<pad>", "</s>", "<unk>", "qz", "<mask>")
    tokenizer = from_files(write_bpe(tmp_path, bpe, special))
    first = len(tokenizer.vocabulary) - len(special)
    assert tokenizer.special == SpecialTokens(first + 1, first + 3, first, first + 2, first + 5)
    ids, _ = tokenizer.encode(special)
    assert len(ids) and ids.max() < first


def test_sentencepiece_model(tmp_path, unigram):
    for name in ("spiece.model", "vocabulary.spm"):
        (tmp_path / name).write_bytes(unigram.model)
        tokenizer = from_files(tmp_path / name)
        assert tokenizer.special == unigram.special and tokenizer.vocabulary == unigram.vocabulary


ALBERT = {"config.json": {"model_type": "albert"}}
NORMALIZERS = [
    {"type": "Replace", "pattern": {"String": "``"}, "content": '"'},
    {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
    {"type": "Lowercase"},
]


@pytest.mark.parametrize(
    ("beside", "options"),
    [
        ({}, (False, False, False)),
        ({"config.json": {"model_type": "t5"}}, (False, False, False)),
        (ALBERT, (True, True, True)),
        (ALBERT | {"tokenizer_config.json": {"do_lower_case": False}}, (False, True, True)),
        (ALBERT | {"tokenizer_config.json": {"keep_accents": True}}, (True, False, True)),
        ({"tokenizer_config.json": {"do_lower_case": True, "keep_accents": False}}, (True, True, False)),
        (ALBERT | {"tokenizer.json": {"normalizer": {"type": "Precompiled"}}}, (False, False, False)),
        ({"tokenizer.json": {"normalizer": {"type": "Sequence", "normalizers": NORMALIZERS}}}, (True, False, True)),
    ],
)
def test_what_is_done_to_texts_before_a_sentencepiece_model(tmp_path, unigram, beside, options):
    (tmp_path / "spiece.model").write_bytes(unigram.model)
    for name, content in beside.items():
        (tmp_path / name).write_text(json.dumps(content))
    expected = dict(zip(("lowercase", "strip_accents", "quotes"), options, strict=True))
    for path in (tmp_path, tmp_path / "spiece.model"):
        assert from_files(path).options == expected
    assert from_files(tmp_path, lowercase=True).options == expected | {"lowercase": True}


def hugging_face(model, tmp_path, **parts):
    made = reference.Tokenizer(model)
    for name, part in parts.items():
        setattr(made, name, part)
    made.save(str(tmp_path / "tokenizer.json"))
    return made


@pytest.mark.parametrize("strip_accents", [None, False])
def test_hugging_face_wordpiece(tmp_path, strip_accents):
    learned = WordPiece.learn(WordPiece.count(TEXTS), vocabulary_size=300)
    made = hugging_face(
        reference.models.WordPiece({piece: i for i, piece in enumerate(learned.vocabulary)}, unk_token="[UNK]"),
        tmp_path,
        normalizer=reference.normalizers.BertNormalizer(lowercase=True, strip_accents=strip_accents),
        pre_tokenizer=reference.pre_tokenizers.BertPreTokenizer(),
    )
    tokenizer = from_files(tmp_path / "tokenizer.json")
    assert tokenizer.options == {"lowercase": True, "strip_accents": strip_accents is None}
    texts = [text for text in TEXTS if text not in NASTY]
    assert differing(tokenizer, texts, [made.encode(text).ids for text in texts]) == []


def test_hugging_face_bpe(tmp_path, bpe):
    merges = [tuple(merge.split(" ")) for merge in bpe.merges]
    made = hugging_face(
        reference.models.BPE({piece: i for i, piece in enumerate(bpe.vocabulary[5:])}, merges),
        tmp_path,
        pre_tokenizer=reference.pre_tokenizers.ByteLevel(add_prefix_space=True),
    )
    made.add_special_tokens(["<s>", "</s>"])
    made.save(str(tmp_path / "tokenizer.json"))
    tokenizer = from_files(tmp_path)
    assert tokenizer.options == {"add_prefix_space": True}
    assert tokenizer.vocabulary[-2:] == ["<s>", "</s>"] and tokenizer.special.end == len(tokenizer.vocabulary) - 1
    texts = [text for text in TEXTS if "<s>" not in text]
    assert differing(tokenizer, texts, [made.encode(text).ids for text in texts]) == []


def test_keras_hub_presets(tmp_path, bpe, unigram):
    assets = write_preset(
        tmp_path / "bert", "BertTokenizer", lowercase=False, strip_accents=True, suffix_indicator="##"
    )
    write_vocabulary(assets, name="vocabulary.txt")
    assert from_files(tmp_path / "bert").options == {"lowercase": False, "strip_accents": True}
    write_bpe(
        write_preset(tmp_path / "gpt2", "GPT2Tokenizer", add_prefix_space=True), bpe, vocabulary="vocabulary.json"
    )
    assert from_files(tmp_path / "gpt2").options == {"add_prefix_space": True}
    (write_preset(tmp_path / "t5", "T5Tokenizer", add_bos=False) / "vocabulary.spm").write_bytes(unigram.model)
    assert from_files(tmp_path / "t5").kind == "sentencepiece"
    (write_preset(tmp_path / "albert", "AlbertTokenizer") / "vocabulary.spm").write_bytes(unigram.model)
    assert not any(from_files(tmp_path / "albert").options.values())
    assert from_files(tmp_path / "albert", lowercase=True).options["lowercase"]


def test_files_that_are_not_there(tmp_path, bpe):
    with pytest.raises(ConfigError, match="no such file or folder; wanted vocab.txt"):
        from_files(tmp_path / "none")
    with pytest.raises(ConfigError, match="got a folder without a vocabulary"):
        from_files(tmp_path)
    file = write_bpe(tmp_path, bpe)
    (tmp_path / "merges.txt").unlink()
    with pytest.raises(ConfigError, match="got a vocabulary without merges; wanted merges.txt beside it"):
        from_files(file)
    (tmp_path / "vectors.bin").write_bytes(b"\0")
    with pytest.raises(ConfigError, match="not a vocabulary that is known by its name"):
        from_files(tmp_path / "vectors.bin")


def test_vocabularies_that_want_what_is_not_offered(tmp_path, bpe, unigram):
    def fails(content, match, name="tokenizer.json"):
        (tmp_path / name).write_text(json.dumps(content) if isinstance(content, dict) else content)
        with pytest.raises(ConfigError, match=match):
            from_files(tmp_path / name)

    fails("{", "not JSON")
    fails("[1]", "got a JSON list; wanted an object")
    fails({"model": {"type": "Unigram", "vocab": []}}, "None, None, Unigram; wanted BertNormalizer")
    fails("not a model", "not a SentencePiece model", name="bad.model")
    fails("[UNK]\na\n", "got no special token to pad with", name="vocab.txt")
    fails("[PAD]\na\n", "got no unknown token", name="vocab.txt")
    write_bpe(tmp_path, bpe)
    fails({"a": 0, "b": 2}, "ids that are not 0 to 1, each once", name="vocab.json")
    fails({"<s>": 0, "</s>": 1, "a": 2}, "without 255 of the 256 bytes", name="vocab.json")
    (tmp_path / "vocab.txt").write_bytes("[PAD]\n[UNK]\nmás\n".encode("latin-1"))
    with pytest.raises(ConfigError, match="not UTF-8"):
        from_files(tmp_path / "vocab.txt")
    write_preset(tmp_path / "bert", "BertTokenizer")
    with pytest.raises(ConfigError, match="got a preset without .*vocabulary.txt"):
        from_files(tmp_path / "bert")
    write_preset(tmp_path / "xlm", "XLMRobertaTokenizer")
    with pytest.raises(ConfigError, match="got a preset with a XLMRobertaTokenizer; wanted one with BertTokenizer"):
        from_files(tmp_path / "xlm")


def test_a_model_whose_ids_are_moved(tmp_path, unigram):
    """As XLM-R's are: tokenizer.json beside the model has them."""
    (tmp_path / "sentencepiece.bpe.model").write_bytes(unigram.model)
    vocabulary = [[piece, 0.0] for piece in unigram.vocabulary]
    for moved in (False, True):
        content = {"model": {"type": "Unigram", "vocab": [["<s>", 0.0]] * moved + vocabulary}}
        (tmp_path / "tokenizer.json").write_text(json.dumps(content))
        if moved:
            with pytest.raises(ConfigError, match="got other ids than in tokenizer.json beside it"):
                from_files(tmp_path)
        else:
            assert from_files(tmp_path).vocabulary == unigram.vocabulary


def test_unknown_options(tmp_path):
    file = write_vocabulary(tmp_path)
    with pytest.raises(ConfigError, match="no option 'lower_case'; did you mean 'lowercase'"):
        from_files(file, lower_case=True)
