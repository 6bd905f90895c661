"""fastText: a text is the mean of its words' vectors, those of their character n-grams and of n-grams of words.

The classifier of Joulin et al. 2016 (a mean, and a linear head by the task) and the subword vectors of Bojanowski et
al. 2017: words the vocabulary lacks are made of their characters. N-grams share `buckets` rows by their hash.
"""

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from data.errors import ConfigError
from models.families.base import Encoded
from models.families.word_vectors import WordVectors, idf, ids_of


class Fasttext(WordVectors):
    """Rows of words and of hashed n-grams, averaged (Joulin et al. 2016; Bojanowski et al. 2017)."""

    width: int = Field(100, ge=1, description="width of the vectors, where no file gives it")
    word_ngrams: int = Field(2, ge=1, le=8, description="longest n-gram of words")
    characters: tuple[int, int] = Field(
        (0, 0), description="shortest and longest n-gram of characters, of which unseen words are made; [0, 0] for none"
    )
    buckets: int = Field(200_000, ge=1, description="rows that all n-grams share by their hash")
    pooling: Literal["mean", "idf"] = Field(
        "mean", description="vector of a text: mean of all its rows, or weighted by inverse document frequency: tf-idf"
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="on the text's vector, and on the words' where tokens are tagged"
    )

    offers: ClassVar[frozenset[str]] = frozenset({"pooled", "sequence"})
    default_tokenizer: ClassVar[dict[str, Any]] = {"kind": "words", "vocabulary_size": 200_000}
    recommended: ClassVar[dict[str, Any]] = {
        "epochs": 10,
        "batch_tokens": 2048,
        "optimizer": {"name": "adam", "learning_rate": 5e-3, "schedule": "linear", "clip_norm": None},
    }
    settled: ClassVar[tuple[str, ...]] = ("width", "characters", "buckets")
    word_bytes: ClassVar[int] = 64

    @field_validator("characters")
    @classmethod
    def _rising(cls, characters: tuple[int, int]) -> tuple[int, int]:
        if characters != (0, 0) and not 1 <= characters[0] <= characters[1]:
            raise ValueError(
                f"got {list(characters)}, wanted [shortest, longest] with 1 <= shortest <= longest, or [0, 0]"
            )
        return characters

    @property
    def refuses_tpu(self) -> str:  # type: ignore[override]
        return "words have any number of character n-grams; set characters = [0, 0]" if self.characters[1] else ""

    def adapt(self, batches, vocabulary):
        """Of a file: vectors, found; of a fastText .bin also buckets <float32>[buckets, width]. Where words are cut:
        characters <int32>[2], and the n-grams of the words of the vocabulary, ngrams <int32>[total] and splits
        <int32>[size + 1]: none where the file's vectors have them in already. For pooling = "idf" also word_idf
        <float32>[size] and bucket_idf <float32>[buckets], ln(texts / texts with it).
        """
        adapted = self._tables(vocabulary)
        if self.pooling == "idf":
            buckets = len(adapted["buckets"]) if "buckets" in adapted else self.buckets
            adapted["word_idf"] = idf(map(ids_of, batches), vocabulary.size)
            adapted["bucket_idf"] = idf((self._buckets_of(each, adapted, buckets) for each in batches), buckets)
        return adapted

    def _tables(self, vocabulary) -> dict[str, np.ndarray]:
        adapted, subwords = self.load(vocabulary) if self.vectors else ({}, None)
        if subwords is not None:
            self._check(subwords)
            empty = np.zeros(0, np.int32), np.zeros(vocabulary.size + 1, np.int32)
            return {
                **adapted,
                "buckets": np.array(subwords.table),
                "characters": np.array([subwords.shortest, subwords.longest], np.int32),
                **dict(zip(("ngrams", "splits"), empty, strict=True)),
            }
        return {**adapted, **self._cut(vocabulary)}

    def _buckets_of(self, packed, adapted, buckets: int) -> tuple[np.ndarray, np.ndarray, int]:
        """What `idf` counts: the n-grams of a batch's known words, and those of words."""
        from models.ngrams import word_ngrams

        owners, found = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        if "splits" in adapted:
            texts, ids, _ = ids_of(packed)
            sizes = np.diff(adapted["splits"])[ids]
            place = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
            found.append(adapted["ngrams"][np.repeat(adapted["splits"][ids], sizes) + place])
            owners.append(np.repeat(texts, sizes))
        if self.word_ngrams > 1:
            words = packed["word_bytes"]
            for bucket, inside in word_ngrams(words, packed["mask"] & (words[:, :, 0] > 0), self.word_ngrams, buckets):
                owners.append(np.nonzero(inside.numpy())[0])
                found.append(bucket.numpy()[inside.numpy()])
        return np.concatenate(owners), np.concatenate(found), len(packed["ids"])

    def _cut(self, vocabulary) -> dict[str, np.ndarray]:
        """characters, ngrams and splits, as `adapt` says; empty where words are not cut."""
        if not self.characters[1]:
            return {}
        from data.ngrams import character_ngrams

        words = [
            b"" if i in vocabulary.special else word.encode()[: self.word_bytes]
            for i, word in enumerate(vocabulary.words)
        ]
        hashes, splits = character_ngrams(words, *self.characters)
        sizes = np.where([word == b"" for word in words], 0, np.diff(splits))  # "<>" alone has n-grams too
        hashes = hashes[np.repeat(sizes > 0, np.diff(splits))]
        splits = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
        ngrams = (hashes % np.uint32(self.buckets)).astype(np.int32)
        return {"characters": np.array(self.characters, np.int32), "ngrams": ngrams, "splits": splits}

    def word_rows(self, vocabulary):
        cut = self._cut(vocabulary)
        if not cut:
            return super().word_rows(vocabulary)
        from models.rows import Rows, Spelled

        words = Rows(self.start(vocabulary, self.width, {}))
        return Spelled(words, Rows(self._random(self.buckets, self.width)), cut["ngrams"], cut["splits"])

    def save_words(self, rows, vocabulary, directory) -> str:
        """fastText's .bin where words are cut, so that unseen ones have vectors too; else word2vec text."""
        if not self.characters[1]:
            return super().save_words(rows, vocabulary, directory)
        from data.vectors import write_fasttext

        ids = [i for i in range(vocabulary.size) if i not in vocabulary.special]
        words, counts = [vocabulary.words[i] for i in ids], [1] * len(ids)
        tables = rows.words.table.numpy()[ids], rows.buckets.table.numpy()
        write_fasttext(directory / "vectors.bin", words, counts, *tables, self.characters)
        return "vectors.bin"

    def _random(self, rows: int, width: int) -> np.ndarray:
        import keras

        drawn = keras.random.uniform([rows, width], -0.5 / width, 0.5 / width, "float32")
        return keras.ops.convert_to_numpy(drawn)

    def _check(self, subwords) -> None:
        problems = [
            f"trainer.family.{name}: {self.vectors} has n-grams of its own ({subwords.shortest} to {subwords.longest} "
            f"characters, {len(subwords.table)} buckets); drop this key"
            for name in ("characters", "buckets")
            if name in self.model_fields_set
        ]
        if subwords.encoding.lower().replace("_", "-") not in ("utf-8", "utf8"):
            problems.append(
                f"trainer.family.vectors_encoding: got '{subwords.encoding}' for a .bin with n-grams, which are hashed "
                "from UTF-8 here; wanted a file in UTF-8, or its .vec, which has words only"
            )
        if self.frozen and self.word_ngrams > 1:
            problems.append(
                f"trainer.family.word_ngrams: got {self.word_ngrams} with frozen, and the n-gram rows of "
                f"{self.vectors}, which they would share, are frozen too; set word_ngrams = 1"
            )
        if problems:
            raise ConfigError(*problems)

    def build(self, vocabulary, max_tokens, n_outputs, adapted):
        import keras

        from models.layers import Arrays, Encoder
        from models.rows import Rows

        words = self.start(vocabulary, self.width, adapted)
        width = words.shape[1]
        parts = {"words": Rows(words, trainable=not self.frozen), "dropout": keras.layers.Dropout(self.dropout)}
        if "buckets" in adapted:
            parts["buckets"] = Rows(adapted["buckets"], trainable=not self.frozen)
        elif "characters" in adapted or self.word_ngrams > 1:
            parts["buckets"] = Rows(self._random(self.buckets, width))
        if "characters" in adapted:
            parts["cut"] = Arrays({name: adapted[name] for name in ("ngrams", "splits")})
            parts["characters"] = tuple(adapted["characters"].tolist())
        if self.pooling == "idf":
            parts["idf"] = Arrays({name: adapted[name] for name in ("word_idf", "bucket_idf")})
        parts["special"] = sorted(vocabulary.special)
        rows = [parts[name] for name in ("words", "buckets") if name in parts]
        return Encoder(parts, self.encode, [rows])

    def encode(self, parts, packed, training) -> Encoded:
        """sequence: the mean of each word's rows, zeros for a word without any. pooled: the mean of all the rows of a
        text, n-grams of words among them. Both are weighted means where pooling says so."""
        import tensorflow as tf

        from models.ngrams import word_ngrams

        mask, words = packed["mask"], packed["word_bytes"]
        known = mask & ~tf.reduce_any(packed["ids"][:, :, None] == tf.constant(parts["special"]), axis=2)
        if "cut" in parts:
            sums, counts = self._with_characters(parts, packed["ids"], known, words)
        else:
            counts = (tf.cast(known, tf.float32) * self._weight(parts, "word_idf", packed["ids"]))[:, :, None]
            sums = parts["words"](packed["ids"]) * counts
        sequence = tf.math.divide_no_nan(sums, counts)
        total, count = tf.reduce_sum(sums, axis=1), tf.reduce_sum(counts, axis=1)
        if self.word_ngrams > 1:
            buckets = parts["buckets"].table.shape[0]
            spelt = mask & (words[:, :, 0] > 0)
            for bucket, inside in word_ngrams(words, spelt, self.word_ngrams, buckets):
                there = (tf.cast(inside, tf.float32) * self._weight(parts, "bucket_idf", bucket))[:, :, None]
                total += tf.reduce_sum(parts["buckets"](tf.where(inside, bucket, 0)) * there, axis=1)
                count += tf.reduce_sum(there, axis=1)
        pooled = tf.math.divide_no_nan(total, count)
        dropped = [parts["dropout"](each, training=training) for each in (sequence, pooled)]
        return Encoded(dropped[0], dropped[1], (sequence,), mask)

    def _weight(self, parts, name: str, ids):
        """How much each row counts, of the shape of ids; 1 where all count the same."""
        import tensorflow as tf

        return tf.gather(parts["idf"][name], ids) if "idf" in parts else 1.0

    def _with_characters(self, parts, ids, known, words):
        """For each token the sum of its rows <float32>[B, T, width] and their number, or weight <float32>[B, T, 1].

        The n-grams of known words are looked up, once for each different word; unknown ones are cut here.
        """
        import tensorflow as tf

        from models.ngrams import character_ngrams
        from models.rows import spelled

        rows, buckets = parts["buckets"], parts["buckets"].table.shape[0]
        flat, here = tf.reshape(tf.where(known, ids, 0), [-1]), tf.reshape(tf.cast(known, tf.float32), [-1, 1])
        weights = (parts["idf"]["word_idf"], parts["idf"]["bucket_idf"]) if "idf" in parts else None
        sums, counts = spelled(parts["words"], rows, parts["cut"]["ngrams"], parts["cut"]["splits"], flat, weights)
        sums, counts = sums * here, counts * here

        unseen = tf.where(tf.reshape(~known & (words[:, :, 0] > 0), [-1]))
        spelt = tf.gather_nd(tf.reshape(words, [-1, words.shape[2]]), unseen)
        hashes, owners = character_ngrams(spelt, *parts["characters"])
        bucket = tf.cast(tf.math.floormod(hashes, tf.constant(buckets, tf.uint32)), tf.int32)
        owners = tf.gather(unseen[:, 0], owners)
        cells = tf.size(ids, out_type=tf.int64)
        heavy = tf.ones_like(bucket, tf.float32) * self._weight(parts, "bucket_idf", bucket)
        sums += tf.math.unsorted_segment_sum(rows(bucket) * heavy[:, None], owners, cells)
        counts += tf.math.unsorted_segment_sum(heavy, owners, cells)[:, None]
        width = [tf.shape(ids)[0], tf.shape(ids)[1], -1]
        return tf.reshape(sums, width), tf.reshape(counts, width)
