"""Names, dtypes and shapes of everything that passes between the parts, in one place.

Examples (Parquet, written by example_gen): one row a text.

| column | type | meaning |
|---|---|---|
| key | int64 | xxh3 of the split field: the row's identity, the same in every run |
| text, text_pair | string | the task's text fields (text_pair only for pairs) |
| negative | string | a text that is less like `text` than its pair is |
| target | string | the text wanted for it, of tasks that write |
| label | string or list<string> | the answer wanted: one, a set of them, or one a word of the text |
| score | double | the number wanted |
| weight | float | weight of the example, 1.0 unless a field gives it |
| others | string | columns kept for slices |

Token records (Arrow IPC, written by transform): one row an example.

| column | type | meaning |
|---|---|---|
| key | int64 | as above |
| ids, ids_pair, ids_negative | list<int32> | token ids without special tokens, at most max_tokens |
| word_bytes, ..._pair, ..._negative | list<uint8> | where the family reads bytes: words, each cut, a space between |
| class | int32 | index into the artifact's own `labels`, -1 where the row has none |
| classes | list<int32> | such indexes, each once, of tasks with several labels a row |
| tags | list<int32> | such an index for each id, -1 where it has none |
| marks, marks_pair | list<int32> | for each id, bits that the task gives a meaning |
| target_ids | list<int32> | ids of the target |
| score | float | as above |
| weight | float | as above |

Batches (dict of NumPy arrays; B rows, L tokens, both fixed for a bucket).

| key | dtype and shape | meaning |
|---|---|---|
| ids, ids_pair, ids_negative | <int32>[B, L] | padded with 0 at the right |
| length, length_pair, length_negative | <int32>[B] | number of real tokens |
| word_bytes, ..._pair, ..._negative | <uint8>[B, L, W] | each word's UTF-8 bytes, cut or padded with 0 to W |
| frozen | <float>[B, M, F] | in training only, in place of word_bytes: what frozen layers make of a packed row |
| teacher | <float32>[B, C] | in training only, where a teacher teaches: its logits, in the order of the labels |
| class | <int32>[B] | index into the model's labels |
| classes | <float32>[B, labels] | 1 for each label that the row has |
| tags, marks, marks_pair | <int32>[B, L] | for each id, as above; of padding -1, 0, 0 |
| target_ids, target_length | <int32>[B, L], <int32>[B] | as ids and length |
| score | <float32>[B] | as above |
| weight | <float32>[B] | 0 for the rows that only fill the batch |
"""

KEY = "key"
TEXT = "text"
TEXT_PAIR = "text_pair"
NEGATIVE = "negative"
TARGET = "target"
LABEL = "label"
SCORE = "score"
WEIGHT = "weight"
IDS = "ids"
IDS_PAIR = "ids_pair"
IDS_NEGATIVE = "ids_negative"
LENGTH = "length"
LENGTH_PAIR = "length_pair"
LENGTH_NEGATIVE = "length_negative"
WORD_BYTES = "word_bytes"
WORD_BYTES_PAIR = "word_bytes_pair"
WORD_BYTES_NEGATIVE = "word_bytes_negative"
FROZEN = "frozen"
TEACHER = "teacher"
CLASS = "class"
CLASSES = "classes"
TAGS = "tags"
MARKS = "marks"
MARKS_PAIR = "marks_pair"
TARGET_IDS = "target_ids"
TARGET_LENGTH = "target_length"

TEXTS = (TEXT, TEXT_PAIR, NEGATIVE, TARGET)
LENGTHS = {IDS: LENGTH, IDS_PAIR: LENGTH_PAIR, IDS_NEGATIVE: LENGTH_NEGATIVE, TARGET_IDS: TARGET_LENGTH}
WORDS = {IDS: WORD_BYTES, IDS_PAIR: WORD_BYTES_PAIR, IDS_NEGATIVE: WORD_BYTES_NEGATIVE}
SPLITS = ("train", "valid", "test")
