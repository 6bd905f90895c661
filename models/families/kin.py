"""Weights from a transformer to one with fewer layers (Sanh et al. 2019, section 3): bert, roberta, distilbert."""

from typing import TYPE_CHECKING, Any

from data.errors import ConfigError
from models.families.bert import Bert, DistilBert, MaskedFamily, Roberta

if TYPE_CHECKING:
    from models.families.base import Family
    from models.layers import Encoder

KIN = (Bert, DistilBert, Roberta)


def check_kin(family: "Family", teacher: "Family") -> None:
    """Raises ConfigError when the vectors of one cannot be compared with those of the other."""
    for each, whose in ((family, "this family"), (teacher, "its teacher")):
        if not isinstance(each, MaskedFamily):
            raise ConfigError(
                f"trainer.distill: got cosine or copy_layers, and {whose} is {type(each).__name__.lower()}; wanted "
                "bert, roberta or distilbert on both sides, for cosine alone albert too; the teacher's answers alone "
                "fit any family"
            )


def copy_layers(student: "Encoder", family: "Family", encoder: "Encoder", teacher: "Family") -> None:
    """Gives the student the teacher's word vectors, positions and, of its N layers, number i * N / n as layer i of n.

    A student without segments has the first segment's vector in its positions, as the teacher adds it to every token
    of a lone text. The layer behind the first token comes along where both have the same.
    Raises ConfigError when they are of other kinds or sizes.
    """
    assert isinstance(family, MaskedFamily) and isinstance(teacher, MaskedFamily)
    ours, theirs = student.parts["backbone"], encoder.parts["backbone"]
    layers, above = list(family.calls(ours)), list(teacher.calls(theirs))
    same = type(family) in KIN and type(teacher) in KIN and (type(family) is Roberta) == (type(teacher) is Roberta)
    if not same or ours.hidden_dim != theirs.hidden_dim or len(layers) > len(above):
        raise ConfigError(
            f"trainer.distill.copy_layers: got {_size(family, ours, layers)} and a teacher that is "
            f"{_size(teacher, theirs, above)}; wanted the same width and as many layers at most, of bert or distilbert "
            "and the like"
        )
    _copy_embeddings(ours, theirs)
    for i, layer in enumerate(layers):
        _copy(layer, above[i * len(above) // len(layers)])
    if family.pooling == teacher.pooling == "cls" and family.pooled_activation == teacher.pooled_activation:
        _copy(student.parts["pooling"], encoder.parts["pooling"])


def _copy_embeddings(ours: Any, theirs: Any) -> None:
    words, positions, segments = _embeddings(theirs)
    to_words, to_positions, to_segments = _embeddings(ours)
    table = positions.position_embeddings.numpy()
    if segments is not None and to_segments is None:
        table = table + segments.embeddings.numpy()[0]
    wanted = to_positions.position_embeddings.shape
    if to_words.embeddings.shape != words.embeddings.shape or wanted[0] > len(table):
        raise ConfigError(
            f"trainer.distill.copy_layers: got {to_words.embeddings.shape[0]} tokens and {wanted[0]} positions, and a "
            f"teacher with {words.embeddings.shape[0]} and {len(table)}; wanted the teacher's tokenizer, and "
            "transform.max_tokens of no more than its positions"
        )
    _copy(to_words, words)
    to_positions.position_embeddings.assign(table[: wanted[0]])
    if segments is not None and to_segments is not None:
        _copy(to_segments, segments)
    _copy(ours.embeddings_layer_norm, theirs.embeddings_layer_norm)


def _embeddings(backbone: Any) -> tuple[Any, Any, Any]:
    """The layers of words, positions and segments (None where it has none)."""
    joined = getattr(backbone, "embeddings", backbone)
    return joined.token_embedding, joined.position_embedding, getattr(backbone, "segment_embedding", None)


def _copy(target: Any, source: Any) -> None:
    got, wanted = [tuple(w.shape) for w in source.weights], [tuple(w.shape) for w in target.weights]
    if got != wanted:
        raise ConfigError(
            f"trainer.distill.copy_layers: got a teacher whose '{source.name}' has weights {got}; wanted {wanted}: the "
            "same width, heads and intermediate width"
        )
    for variable, other in zip(target.weights, source.weights, strict=True):
        variable.assign(other.numpy())


def _size(family: Any, backbone: Any, layers: list[Any]) -> str:
    return f"{type(family).__name__.lower()} {len(layers)}x{backbone.hidden_dim}"
