"""A smaller masked language model from a larger one (Sanh et al. 2019, section 3)."""

from pydantic import Field

from data.errors import ConfigError
from models.objectives.hidden_tokens import HiddenTokens


class MaskedDistillation(HiddenTokens):
    """Hidden tokens are told as the teacher tells them, and as they are; the vectors go where the teacher's go.

    The loss is soft * T^2 * KL(teacher, student), both at temperature T, plus hard * the masked language model's, plus
    cosine * (1 - cosine of the last vectors). The paper's weights, 5 : 2 : 1.
    """

    teacher: str = Field(
        "",
        description="what `masked` left (an artifact of the pretrainer, its pipeline's home) or a Hugging Face folder",
    )
    temperature: float = Field(2.0, gt=0, description="what both models' logits are divided by in the soft part")
    soft: float = Field(0.625, ge=0, description="weight of the teacher's answers")
    hard: float = Field(0.25, ge=0, description="weight of the tokens themselves")
    cosine: float = Field(0.125, ge=0, description="weight of the vectors' direction; 0 for a teacher of another width")
    copy_layers: bool = Field(True, description="begin with the teacher's word vectors, head, and evenly chosen layers")

    def metrics(self, outputs, batch):
        """None: the loss is not that of a language model."""
        return {}

    def lesson(self, model, family, vocabulary, max_tokens):
        import tensorflow as tf

        from models.distillation import apart, softened
        from models.families.kin import copy_layers
        from models.masked_head import head_weights

        teacher, theirs, head = self._teacher(vocabulary, max_tokens)
        if self.cosine and theirs.parts["backbone"].hidden_dim != model.backbone.hidden_dim:
            raise ConfigError(
                f"pretrainer.objective.cosine: got a teacher of width {theirs.parts['backbone'].hidden_dim} for one of "
                f"{model.backbone.hidden_dim}; wanted the same, or cosine = 0"
            )
        if self.copy_layers:
            copy_layers(model.encoder, family, theirs, teacher)
            for own, taught in zip(head_weights(model.head), head_weights(head), strict=True):
                own.assign(taught)

        def lesson(packed, encoded, places, logits, losses):
            taught = theirs(packed, training=False)
            flat = tf.reshape(taught.sequence, [1, -1, taught.sequence.shape[-1]])
            wanted = tf.cast(head(flat, places[None])[0], tf.float32)
            losses = self.hard * losses + self.soft * softened(logits, wanted, self.temperature)
            if not self.cosine:
                return losses, 0.0
            real = tf.cast(encoded.mask, tf.float32)
            away = tf.reduce_sum(apart(encoded.sequence, taught.sequence) * real, axis=1)
            return losses, self.cosine * away / tf.reduce_sum(real, axis=1)

        return lesson

    def _teacher(self, vocabulary, max_tokens: int):
        """Its family, encoder and head, with their weights. Raises ConfigError when they are not there, or not fit."""
        from models.families import FAMILIES
        from models.families.bert import MaskedFamily
        from models.hub import backbone_class
        from models.masked_head import head_of, load_head

        name = backbone_class(self.teacher)
        kinds = [kind for kind in FAMILIES.values() if issubclass(kind, MaskedFamily) and kind.backbone == name]
        if not kinds:
            raise self._no_teacher(name or "no model")
        family = kinds[0](preset=self.teacher)
        encoder = family.build(vocabulary, max_tokens, 1, {})
        backbone = encoder.parts["backbone"]
        if backbone.vocabulary_size != vocabulary.size:
            raise ConfigError(
                f"pretrainer.objective.teacher: it has {backbone.vocabulary_size} tokens, and the tokenizer "
                f"{vocabulary.size}; wanted the teacher's tokenizer: tokenizer_gen.files of its folder"
            )
        head = head_of(backbone.token_embedding, backbone.hidden_dim)
        if not load_head(head, self.teacher):
            raise self._no_teacher(f"{name} without the head of a masked language model")
        return family, encoder, head

    def _no_teacher(self, found: str) -> ConfigError:
        return ConfigError(
            f"pretrainer.objective.teacher: {self.teacher} holds {found}; wanted what [pretrainer] left with objective "
            "'masked', or a Hugging Face folder of a masked language model (bert, roberta, distilbert, albert)"
        )
