"""What the learners share: counting a block of texts, choosing what to learn from, feeding Rust trainers."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from data.errors import ConfigError
from data.tokenizers.base import SpecialTokens

SPECIAL = SpecialTokens(pad=0, unknown=1, start=2, end=3, mask=4)  # of every learned vocabulary
BRACKETED = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")  # their names, as BERT's
ANGLED = ("<pad>", "<unk>", "<s>", "</s>", "<mask>")  # and as RoBERTa's and T5's

MAX_OCCURRENCES = 4_000_000  # the Rust trainers read one occurrence at a time, about 2 million a second


def distinct(chunks):
    """The distinct strings of an Arrow array (a list of str) and how often each occurs (<int64>)."""
    import pyarrow.compute as pc

    counted = pc.value_counts(chunks)
    return counted.field("values").to_pylist(), counted.field("counts").to_numpy()


def distinct_chunks(texts: Sequence[str]):
    """The distinct parts of the texts between spaces, and how often each occurs.

    Tokens of words never cross a space, so whatever is slow needs to see each chunk only once.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    return distinct(pc.list_flatten(pc.split_pattern(pa.array(texts, pa.string()), " ")))


def count_tokens(chunks: Sequence[str], times, tokens: Callable) -> Counter[str]:
    """Counts the tokens of chunks that occur `times` <int64> times.

    tokens: a function from tf.string [N] to a RaggedTensor of strings [N, None].
    """
    import numpy as np
    import tensorflow as tf

    found = tokens(tf.constant(chunks, tf.string, shape=[len(chunks)]))
    weights = np.repeat(times, found.row_lengths().numpy())
    counts: dict[bytes, int] = {}
    for token, weight in zip(found.flat_values.numpy().tolist(), weights.tolist(), strict=True):
        counts[token] = counts.get(token, 0) + weight
    return Counter({token.decode(): n for token, n in counts.items() if token})


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
