"""SentencePiece (Kudo and Richardson 2018): pieces of raw text, spaces included, by a unigram model or by merges.

Against the `sentencepiece` library on the same model, texts differ only where two cuts of a text have
the same score: the op is of another version of the same code and may take the other one. Against Hugging Face's
`AlbertTokenizer` on the same model Hangul differs too: taken apart with the accents, it is joined again by the model's
rules here, as in the library, and not there.
"""

import io
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from etils import epath

from data.errors import ConfigError, DataError, did_you_mean
from data.tokenizers import learning
from data.tokenizers.base import SpecialTokens
from data.tokenizers.graph import GraphTokenizer, described
from data.tokenizers.mapping import map_model, mapper

CHANGES = ("lowercase", "strip_accents", "quotes")  # options that change a text before the model normalizes it
PAIR = "``|''"  # as Penn Treebank's texts have quotation marks
QUOTE, DROPPED = '"', "\x01"  # what a pair becomes, as long as it was: places stay. The models drop it as well
MODEL_TYPES = ("unigram", "bpe")
MAX_WORDS = 100_000  # to learn from: the unigram learner takes 10 to 20 s for these, and more memory for more


class SentencePiece(GraphTokenizer):
    """Pieces of a text normalized to NFKC; "▁" stands for the space before a word. Saved as spiece.model.

    Options that a text is changed by before, as ALBERT's texts are: case, accents, pairs of quotes.
    """

    kind = "sentencepiece"

    def __init__(self, model: bytes, special: SpecialTokens, options: Mapping[str, Any]):
        self.model = model
        size = self._processor.vocab_size()
        super().__init__(self._processor.id_to_piece(list(range(size))), special, options)

    @classmethod
    def count(
        cls,
        texts: Sequence[str],
        *,
        model_type: str = "unigram",
        lowercase: bool = False,
        strip_accents: bool = False,
        quotes: bool = False,
    ) -> Counter[str]:
        import pyarrow as pa
        import pyarrow.compute as pc

        if lowercase or strip_accents or quotes:
            clean = mapper(_model(lowercase, strip_accents))
            texts = clean.normalize(_one_quote(texts) if quotes else texts).numpy()
        words = pc.list_flatten(pc.utf8_split_whitespace(pa.array(texts, pa.string())))
        words, times = learning.distinct(words.filter(pc.not_equal(words, "")))
        return Counter(dict(zip(words.to_pylist(), times.tolist(), strict=True)))

    @classmethod
    def learn(
        cls,
        counts: Mapping[str, int],
        *,
        vocabulary_size: int,
        model_type: str = "unigram",
        lowercase: bool = False,
        strip_accents: bool = False,
        quotes: bool = False,
    ) -> "SentencePiece":
        """Learns from the most frequent MAX_WORDS words.

        model_type: "unigram" or "bpe". lowercase: whether case is lost. strip_accents: whether accents and other
        combining marks are. quotes: whether `` and '' become ".
        """
        import sentencepiece

        if model_type not in MODEL_TYPES:
            raise ConfigError(
                f"model_type: unknown SentencePiece model '{model_type}'{did_you_mean(model_type, MODEL_TYPES)}"
            )
        words = learning.most_frequent(counts, MAX_WORDS)
        model = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=(f"{word}\t{counts[word]}" for word in words),
                input_format="tsv",
                model_writer=model,
                model_type=model_type,
                vocab_size=vocabulary_size,
                hard_vocab_limit=False,  # a small corpus gives fewer
                pad_id=0,
                unk_id=1,
                bos_id=2,
                eos_id=3,
                control_symbols=[learning.ANGLED[4]],
                num_threads=1,  # sums of floats depend on the number
                minloglevel=2,
            )
        except RuntimeError as error:
            raise DataError(
                f"sentencepiece could not learn {vocabulary_size} pieces from {len(words)} words ({error}); "
                f"wanted a vocabulary_size that holds every character: raise it, or give more text"
            ) from error
        options = {"lowercase": lowercase, "strip_accents": strip_accents, "quotes": quotes}
        return cls(model.getvalue(), learning.SPECIAL, {"model_type": model_type, **options})

    @classmethod
    def load(cls, directory: Path) -> "SentencePiece":
        return cls((epath.Path(directory) / "spiece.model").read_bytes(), **described(directory))

    def _write(self, directory: epath.Path) -> None:
        (directory / "spiece.model").write_bytes(self.model)

    def decode(self, ids: Sequence[int]) -> str:
        return self._processor.decode([int(i) for i in ids if i not in self.special.ids])

    @cached_property
    def _processor(self) -> Any:
        import sentencepiece

        return sentencepiece.SentencePieceProcessor(model_proto=self.model)

    def graph_with_offsets(self, texts):
        return super().graph_with_offsets(self._one_quote(texts))  # characters are seen one by one, pairs before

    def _build(self) -> tuple:
        import tensorflow as tf
        import tensorflow_text

        pieces = tensorflow_text.SentencepieceTokenizer(self.model, out_type=tf.int32)
        lowercase, strip_accents, quotes = map(self.options.get, CHANGES)  # those saved before these were have none
        if not (lowercase or strip_accents or quotes):
            return (pieces,)
        return pieces, mapper(_model(bool(lowercase), bool(strip_accents)))

    def _one_quote(self, texts):
        return _one_quote(texts) if self.options.get("quotes") else texts

    def _normalize(self, texts):
        _, *cleaning = self._resources
        return cleaning[0].normalize(self._one_quote(texts)) if cleaning else texts

    def _tokenize(self, texts):
        return self._resources[0].tokenize(texts)

    def _join(self, ids):
        return self._resources[0].detokenize(ids)

    def _tokenize_with_offsets(self, texts):
        return self._resources[0].tokenize_with_offsets(texts)


def _one_quote(texts):
    import tensorflow as tf

    return tf.strings.regex_replace(texts, PAIR, QUOTE + DROPPED)


@cache
def _model(lowercase: bool, strip_accents: bool) -> np.ndarray:
    """As ALBERT cleans its texts, and without what fills the place of a pair of quotes."""

    def change(character: str) -> str:
        if character == DROPPED:
            return ""
        if strip_accents:
            parts = unicodedata.normalize("NFKD", character)
            character = "".join(part for part in parts if not unicodedata.category(part).startswith("M"))
        return character.lower() if lowercase else character

    return map_model(change)
