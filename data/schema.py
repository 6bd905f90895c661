"""Names, dtypes and shapes of everything that passes between the parts, in one place.

Examples (Parquet, written by example_gen): one row a text.

| column | type | meaning |
|---|---|---|
| key | int64 | xxh3 of the split field: the row's identity, the same in every run |
| text, text_pair | string | the task's text fields (text_pair only for pairs) |
| label | string or list<string> | the answer wanted |
| weight | float | weight of the example, 1.0 unless a field gives it |
| others | string | columns kept for slices |

Token records (Arrow IPC, written by transform): one row an example.

| column | type | meaning |
|---|---|---|
| key | int64 | as above |
| ids, ids_pair | list<int32> | token ids without special tokens, at most max_tokens |
| word_bytes, word_bytes_pair | list<uint8> | where the family reads bytes: the ids' words, each cut, a space between |
| class | int32 | index into the artifact's own `labels`, -1 where the row has none |
| weight | float | as above |

Batches (dict of NumPy arrays; B rows, L tokens, both fixed for a bucket).

| key | dtype and shape | meaning |
|---|---|---|
| ids, ids_pair | <int32>[B, L] | padded with 0 at the right |
| length, length_pair | <int32>[B] | number of real tokens |
| word_bytes, word_bytes_pair | <uint8>[B, L, W] | each word's UTF-8 bytes, cut or padded with 0 to W |
| frozen | <float>[B, M, F] | in training only, in place of word_bytes: what frozen layers make of a packed row |
| class | <int32>[B] | index into the model's labels |
| weight | <float32>[B] | 0 for the rows that only fill the batch |
"""

KEY = "key"
TEXT = "text"
TEXT_PAIR = "text_pair"
LABEL = "label"
WEIGHT = "weight"
IDS = "ids"
IDS_PAIR = "ids_pair"
LENGTH = "length"
LENGTH_PAIR = "length_pair"
WORD_BYTES = "word_bytes"
WORD_BYTES_PAIR = "word_bytes_pair"
FROZEN = "frozen"
CLASS = "class"

SPLITS = ("train", "valid", "test")
