"""Vocabularies as others publish them: what the files say, as the arguments of our tokenizers.

| files | kind |
|---|---|
| vocab.txt, a piece a line (BERT) | wordpiece |
| vocab.json and merges.txt (GPT-2, RoBERTa) | bpe |
| *.model, *.spm (T5, ALBERT) | sentencepiece |
| tokenizer.json of Hugging Face, of a WordPiece or byte-level BPE model | wordpiece, bpe |
| a folder with any of these; tokenizer_config.json beside them is read | as above |
| a KerasHub preset folder | as above |

Special tokens are known by their usual names. Where nothing says whether a WordPiece vocabulary is
of lower-case text, it is if no piece has a capital. Accents are kept unless a file says otherwise; beside Hugging
Face's tokenizer_config.json or config.json they go with the case, as the reference does it.
A SentencePiece model reads the text as it is, unless Hugging Face's tokenizer.json beside it loses case, accents or
pairs of quotes before, or tokenizer_config.json does, or else config.json is ALBERT's: its model is of lower-case text
without accents. A KerasHub preset of ALBERT says nothing of it: KerasHub gives its model the text as it is, and so does
this; where the model does not lower-case by its own rules, words with capitals fall apart, unless options say so.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from data.errors import ConfigError
from data.tokenizers.base import SpecialTokens
from data.tokenizers.graph import read_lines

NAMES = {
    "pad": ("[PAD]", "<pad>"),
    "unknown": ("[UNK]", "<unk>"),
    "start": ("[CLS]", "<s>", "<|endoftext|>"),
    "end": ("[SEP]", "</s>", "<|endoftext|>"),
    "mask": ("[MASK]", "<mask>"),
}
# KerasHub's tokenizers that use their files as they are (XLM-R's, for one, shifts the ids).
KERAS_HUB = {
    "wordpiece": ("BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer"),
    "bpe": ("GPT2Tokenizer", "RobertaTokenizer", "BartTokenizer"),
    "sentencepiece": ("T5Tokenizer", "AlbertTokenizer", "DebertaV3Tokenizer", "FNetTokenizer"),
}
WANTED = "vocab.txt, vocab.json with merges.txt, *.model, tokenizer.json, or a folder with one of these"

Arguments = dict[str, Any]


def read(path: Any) -> tuple[str, Arguments]:
    """The kind of tokenizer (a key of TOKENIZERS) and the arguments of its constructor.

    Raises ConfigError when the files are not there, or want what our tokenizers do not do.
    """
    path = epath.Path(path)
    if not path.exists():
        raise ConfigError(f"{path}: no such file or folder; wanted {WANTED}")
    try:
        return _read_folder(path) if path.is_dir() else _read_file(path, _settings(path.parent))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: got text that is not UTF-8 ({error}); wanted {WANTED}") from error


def _read_folder(path: epath.Path) -> tuple[str, Arguments]:
    description = _json(path / "tokenizer.json") if (path / "tokenizer.json").exists() else {}
    if "class_name" in description:
        return _read_preset(path, description)
    for pattern in ("*.model", "*.spm", "tokenizer.json", "*vocab.json", "*vocab.txt"):
        for file in sorted(path.glob(pattern)):
            return _read_file(file, _settings(path))
    raise ConfigError(f"{path}: got a folder without a vocabulary; wanted {WANTED}")


def _settings(folder: epath.Path) -> Mapping[str, Any]:
    """tokenizer_config.json of Hugging Face, in KerasHub's names."""
    file = folder / "tokenizer_config.json"
    given = _json(file) if file.exists() else {}
    model = folder / "config.json"
    given["lowercase"] = given.get("do_lower_case")
    given["model_type"] = _json(model).get("model_type") if model.exists() else None
    return given


def _read_preset(folder: epath.Path, description: Mapping[str, Any]) -> tuple[str, Arguments]:
    name, assets = description["class_name"], folder / "assets" / "tokenizer"
    kind = next((kind for kind, names in KERAS_HUB.items() if name in names), None)
    if kind is None:
        known = ", ".join(name for names in KERAS_HUB.values() for name in names)
        raise ConfigError(f"{folder}: got a preset with a {name}; wanted one with {known}")
    files = {"wordpiece": "vocabulary.txt", "bpe": "vocabulary.json", "sentencepiece": "vocabulary.spm"}
    file = assets / files[kind]
    if not file.exists():
        raise ConfigError(f"{folder}: got a preset without {file}; wanted all that save_to_preset wrote")
    return _read_file(file, description["config"])


def _read_file(file: epath.Path, settings: Mapping[str, Any]) -> tuple[str, Arguments]:
    match file.suffix:
        case ".txt":
            return "wordpiece", _wordpiece(file, read_lines(file), settings)
        case ".model" | ".spm":
            return "sentencepiece", _sentencepiece(file, settings)
        case ".json":
            content = _json(file)
            if isinstance(content.get("model"), dict):  # a vocabulary may hold the word "model"
                return _hugging_face(file, content)
            merges = file.with_name(re.sub(r"vocab(ulary)?\.json$", "merges.txt", file.name))
            if merges == file or not merges.exists():
                raise ConfigError(f"{file}: got a vocabulary without merges; wanted {merges.name} beside it")
            lines = read_lines(merges)
            return "bpe", _bpe(file, content, lines[lines[0].startswith("#version") :], settings)
    raise ConfigError(f"{file}: not a vocabulary that is known by its name; wanted {WANTED}")


def _wordpiece(file: epath.Path, vocabulary: Sequence[str], settings: Mapping[str, Any]) -> Arguments:
    special = _special(file, vocabulary)
    if special.unknown is None:
        raise ConfigError(f"{file}: got no unknown token; wanted one of {', '.join(NAMES['unknown'])} among the pieces")
    inside = settings.get("suffix_indicator", "##")
    if inside != "##":
        raise ConfigError(f"{file}: got pieces inside words marked with '{inside}'; wanted '##'")
    ordinary = "".join(piece for piece in vocabulary if not piece.startswith(("[", "<")))  # not [unused1] and the like
    lowercase, strip = settings.get("lowercase"), settings.get("strip_accents")
    if lowercase is None:
        lowercase = ordinary == ordinary.lower()
    if strip is None:
        strip = lowercase and ("do_lower_case" in settings or settings.get("model_type") is not None)
    options = {"lowercase": bool(lowercase), "strip_accents": bool(strip)}
    return {"vocabulary": vocabulary, "special": special, "options": options}


def _bpe(file: epath.Path, ids: Mapping[str, int], merges: Sequence[str], settings: Mapping[str, Any]) -> Arguments:
    vocabulary = _in_order(file, ids)
    options = {"add_prefix_space": bool(settings.get("add_prefix_space"))}
    return {"vocabulary": vocabulary, "merges": merges, "special": _special(file, vocabulary), "options": options}


def _sentencepiece(file: epath.Path, settings: Mapping[str, Any]) -> Arguments:
    import sentencepiece

    model = file.read_bytes()
    try:
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    except RuntimeError as error:
        raise ConfigError(f"{file}: not a SentencePiece model ({error})") from error
    pieces = processor.id_to_piece(list(range(processor.vocab_size())))
    beside = file.parent / "tokenizer.json"
    content = _json(beside) if beside.exists() else {}
    if isinstance(content.get("model"), dict):
        theirs = content["model"]["vocab"]  # pieces with their scores, or with their ids
        theirs = [piece for piece, _ in theirs] if isinstance(theirs, list) else sorted(theirs, key=theirs.__getitem__)
        if theirs[: len(pieces)] != pieces:
            raise ConfigError(
                f"{file}: got other ids than in {beside.name} beside it; wanted a model that keeps its ids"
            )
    options = _changes(content.get("normalizer"), settings)
    return {"model": model, "special": _special(file, pieces), "options": options}


def _changes(normalizer: Any, settings: Mapping[str, Any]) -> dict[str, bool]:
    """What is done to a text before a SentencePiece model normalizes it: as tokenizer.json says, else the settings."""
    if normalizer:
        parts = normalizer.get("normalizers", [normalizer])
        kinds = {part["type"] for part in parts}
        pairs = {part["pattern"].get("String") for part in parts if part["type"] == "Replace"}
        return {"lowercase": "Lowercase" in kinds, "strip_accents": "StripAccents" in kinds, "quotes": "``" in pairs}
    albert = settings.get("model_type") == "albert"
    lowercase, keep = settings.get("do_lower_case", albert), settings.get("keep_accents", not albert)
    return {"lowercase": bool(lowercase), "strip_accents": not keep, "quotes": albert}


def _hugging_face(file: epath.Path, content: Mapping[str, Any]) -> tuple[str, Arguments]:
    """tokenizer.json of Hugging Face `tokenizers`."""
    model, normalizer, splitter = (content.get(part) or {} for part in ("model", "normalizer", "pre_tokenizer"))
    added = {token["content"]: token["id"] for token in content.get("added_tokens", [])}
    parts = (normalizer.get("type"), splitter.get("type"), model.get("type"))
    as_bert = normalizer.get("clean_text") and normalizer.get("handle_chinese_chars")
    if parts == ("BertNormalizer", "BertPreTokenizer", "WordPiece") and as_bert:
        lowercase, strip = normalizer["lowercase"], normalizer["strip_accents"]
        settings = {"lowercase": lowercase, "strip_accents": lowercase if strip is None else strip}
        settings["suffix_indicator"] = model["continuing_subword_prefix"]
        return "wordpiece", _wordpiece(file, _in_order(file, model["vocab"] | added), settings)
    if parts == (None, "ByteLevel", "BPE") and splitter.get("use_regex", True):
        merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
        return "bpe", _bpe(file, model["vocab"] | added, merges, splitter)
    raise ConfigError(
        f"{file}: got normalizer, pre_tokenizer and model {', '.join(map(str, parts))}; wanted BertNormalizer (with "
        f"clean_text and handle_chinese_chars), BertPreTokenizer, WordPiece or None, ByteLevel (with use_regex), BPE; "
        f"for a Unigram model give the *.model file it was made from"
    )


def _in_order(file: epath.Path, ids: Mapping[str, int]) -> list[str]:
    vocabulary = sorted(ids, key=ids.__getitem__)
    if [ids[piece] for piece in vocabulary] != list(range(len(ids))):
        raise ConfigError(f"{file}: got {len(ids)} pieces with ids that are not 0 to {len(ids) - 1}, each once")
    return vocabulary


def _special(file: epath.Path, vocabulary: Sequence[str]) -> SpecialTokens:
    """Special tokens by name; a vocabulary without padding (GPT-2's) pads with its end."""
    ids = {piece: i for i, piece in enumerate(vocabulary)}
    found = {role: next((ids[name] for name in names if name in ids), None) for role, names in NAMES.items()}
    if found["pad"] is None:
        found["pad"] = found["end"]
    if found["pad"] is None:
        names = ", ".join(NAMES["pad"] + NAMES["end"])
        raise ConfigError(f"{file}: got no special token to pad with; wanted one of {names} among the pieces")
    return SpecialTokens(**found)  # type: ignore[arg-type]


def _json(file: epath.Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{file}: not JSON ({error})") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{file}: got a JSON {type(content).__name__}; wanted an object")
    return content
