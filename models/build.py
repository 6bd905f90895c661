"""Family + task + vocabulary -> keras.Model: the only place that joins them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from data.errors import ConfigError, did_you_mean
from data.schema import (
    IDS,
    IDS_PAIR,
    LENGTH,
    LENGTH_PAIR,
    LENGTHS,
    TARGET_IDS,
    TARGET_LENGTH,
    TEXT_PAIR,
    WEIGHT,
    WORD_BYTES,
    WORD_BYTES_PAIR,
    WORDS,
)
from models.families import FAMILIES
from models.families.base import Family, Vocabulary
from models.hiding import Hidden
from models.tasks import TASKS
from models.tasks.base import Task

if TYPE_CHECKING:
    import keras

PAIR_OF = {IDS: IDS_PAIR, LENGTH: LENGTH_PAIR, WORD_BYTES: WORD_BYTES_PAIR}  # of a batch, what a model reads


def check_fit(family: str, task: str) -> None:
    """Raises ConfigError when a name is unknown or the family lacks what the task needs, naming those that would do."""
    if family not in FAMILIES:
        raise ConfigError(f"trainer.family.name: got '{family}'{did_you_mean(family, FAMILIES)}")
    if task not in TASKS:
        raise ConfigError(f"task: got '{task}'{did_you_mean(task, TASKS)}")
    missing = lacks(FAMILIES[family], TASKS[task])
    if missing:
        fitting = sorted(name for name, other in FAMILIES.items() if not lacks(other, TASKS[task]))
        raise ConfigError(
            f"trainer.family.name: '{family}' does not give {' and '.join(sorted(missing))}, which '{task}' needs; "
            f"families that do: {', '.join(fitting) or 'none'}"
        )


def lacks(family: type[Family], task: type[Task]) -> set[str]:
    """What a task needs that a family does not give: nothing where they fit."""
    vectors = {"vectors of texts"} if family.linear and not task.takes_logits else set()
    return {*(task.needs - family.offers), *vectors}


def misfits(family: Family, task: type[Task]) -> list[str]:
    """One line for each parameter of a family that does not go with what a task needs of it."""
    return [problem for need in sorted(task.needs) for problem in family.check_offer(need)]


def inputs_of(task: Task, pairs: bool) -> tuple[str, ...]:
    """Names of what an exported model is asked with, each <string>[N]."""
    named = {task.columns.get(name, name) for name in task.inputs}
    return (*task.inputs, *((TEXT_PAIR,) if pairs and TEXT_PAIR not in named else ()))


def adapt(
    family: Family,
    batches: Iterable[Mapping[str, np.ndarray]],
    vocabulary: Vocabulary,
    max_tokens: int,
    apart: bool = False,
) -> dict[str, np.ndarray]:
    """Counts what the family counts, on the training batches packed as training will see them.

    batches: each training example once, in any order; may be iterated more than once. Rows of weight 0 do not count.
    apart: the texts of an example are packed each by itself.
    Empty for families that only learn. Keep it with the weights: `build_model` needs it again.
    """
    return family.adapt(_Packed(batches, family, vocabulary, max_tokens, apart), vocabulary)


class _Packed:
    """The batches after packing, without the rows that only fill; iterable more than once."""

    def __init__(self, batches, family: Family, vocabulary: Vocabulary, max_tokens: int, apart: bool):
        self.batches, self.apart = batches, apart
        self.arguments = vocabulary, max_tokens, family.special_tokens

    def __iter__(self):
        from models.packing import apart, pack

        for batch in self.batches:
            real = np.flatnonzero(batch[WEIGHT])
            rows = {name: batch[name][real] for name in (*LENGTHS, *LENGTHS.values(), *WORDS.values()) if name in batch}
            for each in apart(rows) if self.apart else (rows,):
                yield {name: tensor.numpy() for name, tensor in pack(each, *self.arguments).items()}


def build_model(
    family: Family,
    task: Task,
    vocabulary: Vocabulary,
    max_tokens: int,
    labels: Sequence[str],
    pairs: bool,
    adapted: Mapping[str, np.ndarray] | None = None,
) -> "keras.Model":
    """A model called on a batch (data/schema.py) and `training`; it gives the logits that the task's head makes.

    What the task needs decides what the family builds: its encoder and the task's head on it; for `masked` and
    `bidirectional`, an encoder and a head over the vocabulary; or, for `causal` and `encoder_decoder`, its decoder,
    whose own logits are the head.

    max_tokens: the longest row the encoder reads, special tokens included.
    adapted: what `adapt` gave. Penalties, where the family has them, are in `model.losses`.
    Built under the current dtype policy and distribution strategy. Raises ConfigError when the family's parameters do
    not go with the task, max_tokens leaves no room for a text, or the family wants special tokens that the tokenizer
    does not have.
    """
    from models.layers import TextModel
    from models.packing import SCHEMES, added_tokens, pack

    if problems := misfits(family, type(task)):
        raise ConfigError(*problems)
    name = next((name for name, kind in FAMILIES.items() if type(family) is kind), type(family).__name__)
    together = pairs and not task.apart
    least = added_tokens(family.special_tokens, together) + 1 + together
    if max_tokens < least:
        raise ConfigError(
            f"transform.max_tokens: got {max_tokens}, which leaves family '{name}' no room for a text beside special "
            f"tokens; wanted {least} or more"
        )
    scheme = SCHEMES[family.special_tokens]
    if (scheme.start and vocabulary.start is None) or (scheme.end and vocabulary.end is None):
        raise ConfigError(
            f"tokenizer_gen.kind: family '{name}' puts start and end tokens around a text and this tokenizer has none; "
            f"wanted one that does, such as '{family.default_tokenizer['kind']}'"
        )
    hide = None
    if {"causal", "encoder_decoder"} & task.needs:
        encoder = family.build_decoder(vocabulary, max_tokens, memory="encoder_decoder" in task.needs)
        head = encoder.logits
    elif "bidirectional" in task.needs:
        from models.two_way import Scores

        encoder, softmax = family.build_bidirectional(vocabulary)
        head = Scores(softmax)
    elif isinstance(task, Hidden):
        encoder, head, hide = _masked(family, task, vocabulary, max_tokens, adapted or {})
    else:
        n_outputs = task.n_outputs(labels)
        encoder = family.build(vocabulary, max_tokens, n_outputs, adapted or {})
        head = task.head(family, n_outputs, labels)
    arguments = vocabulary, max_tokens, task.special_tokens or family.special_tokens
    model = TextModel(
        lambda batch: pack(task.arranged(batch), *arguments), encoder, task.unpack, head, task.apart, hide
    )
    model.reads_source = "encoder_decoder" in task.needs
    token = {IDS: np.zeros([1, 1], np.int32), LENGTH: np.ones(1, np.int32)}
    if family.word_bytes:
        token[WORD_BYTES] = np.zeros([1, 1, family.word_bytes], np.uint8)
    if model.reads_source:
        token |= {TARGET_IDS: token[IDS], TARGET_LENGTH: token[LENGTH]}
    model({**token, **({PAIR_OF[name]: value for name, value in token.items()} if pairs else {})})
    return model


def _masked(family: Family, task: Hidden, vocabulary: Vocabulary, max_tokens: int, adapted: Mapping[str, np.ndarray]):
    """Encoder, head, and what hides tokens from the encoder, for the head to tell."""
    from models.masked_head import Hiding, Told

    encoder, head = family.build_masked(vocabulary, max_tokens, adapted)
    return encoder, Told(head), Hiding(task, vocabulary)
