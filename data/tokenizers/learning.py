"""What the learners share: counting a block of texts, choosing what to learn from, feeding Rust trainers."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from data.errors import ConfigError
from data.tokenizers.base import SpecialTokens

SPECIAL = SpecialTokens(pad=0, unknown=1, start=2, end=3, mask=4)  # of every learned vocabulary
BRACKETED = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")  # their names, as BERT's
ANGLED = ("<pad>", "<unk>", "<s>", "</s>", "<mask>")  # and as RoBERTa's and T5's

MAX_OCCURRENCES = 4_000_000  # the Rust trainers read one occurrence at a time, about 2 million a second


def distinct(chunks):
    """The distinct strings of an Arrow array, as another, and how often each occurs (<int64>)."""
    import pyarrow.compute as pc

    counted = pc.value_counts(chunks)
    return counted.field("values"), counted.field("counts").to_numpy()


def distinct_between_spaces(texts: Sequence[str]) -> tuple[Any, Any]:
    """Each distinct part between spaces once, in as few texts as can be: an Arrow array, and how
    often the parts of each of its texts occur (<int64>).

    For tokens that never cross a space. What is slow then sees each part once, and few long texts.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    parts, times = distinct(pc.list_flatten(pc.split_pattern(pa.array(texts, pa.string()), " ")))
    order = np.argsort(times, kind="stable")
    times, first = np.unique(times[order], return_index=True)
    groups = pa.ListArray.from_arrays(np.append(first, len(order)).astype(np.int32), parts.take(order))
    return pc.binary_join(groups, " "), times


def count_tokens(texts: Any, times: Any, tokens: Callable) -> Counter[str]:
    """Counts the tokens of texts (an Arrow array) that occur `times` <int64> times.

    tokens: a function from tf.string [N] to a RaggedTensor of strings [N, None].
    """
    import numpy as np
    import tensorflow as tf

    found = tokens(tf.constant(texts.to_pylist(), tf.string, shape=[len(texts)]))
    types, place = tf.unique(found.flat_values)
    weights = np.repeat(times, found.row_lengths().numpy())
    counts = np.bincount(place.numpy(), weights, minlength=len(types)).astype(np.int64)  # exact below 2^53
    named = zip(types.numpy().tolist(), counts.tolist(), strict=True)
    return Counter({token.decode(): n for token, n in named if token})


def most_frequent(counts: Mapping[str, int], limit: int) -> list[str]:
    """The `limit` most frequent keys, most frequent first, ties in code point order."""
    return sorted(counts, key=lambda key: (-counts[key], key))[:limit]


def occurrences(counts: Mapping[str, int]) -> Iterator[list[str]]:
    """Each key as often as it was counted, in lists of at most 1,000, in an order that depends on the keys only.

    More than MAX_OCCURRENCES in all are scaled down to about that; what then rounds to none is left out.
    """
    scale = min(1.0, MAX_OCCURRENCES / max(1, sum(counts.values())))
    for key in sorted(counts):
        left = round(counts[key] * scale)
        while left > 0:
            yield [key] * min(left, 1000)
            left -= 1000


def check_size(vocabulary_size: int, least: int, why: str) -> None:
    """Raises ConfigError when a vocabulary cannot be this small."""
    if vocabulary_size < least:
        raise ConfigError(f"vocabulary_size: got {vocabulary_size}, wanted at least {least} ({why}); raise it")
