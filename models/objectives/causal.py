"""The causal language model (Radford et al. 2018, equation 1): each token from those before it."""

from typing import ClassVar, Literal

import numpy as np

from models.families.gpt2 import Gpt2
from models.objectives.backbones import BackboneObjective


class Causal(BackboneObjective):
    """Over blocks of contiguous text, without padding, an end token after each text where the tokenizer has one."""

    kind: ClassVar[type] = Gpt2
    data: ClassVar[Literal["rows", "pairs", "blocks", "sentences"]] = "blocks"
    fixed_length: ClassVar[bool] = True

    def weights(self, lengths):
        """Tokens that are told in a block: all but the first."""
        return np.maximum(lengths - 1, 1).astype(np.float32)

    def build(self, family, vocabulary, counts, max_tokens):
        import keras
        import tensorflow as tf

        family = self.dropping(family)

        class Model(keras.Model):
            """Gives each block's mean loss over its tokens but the first <float32>[B]."""

            def __init__(self):
                super().__init__()
                self.encoder = family.build_decoder(vocabulary, max_tokens, memory=False)
                self.backbone = self.encoder.parts["backbone"]

            def build(self, _):
                """Nothing to do: the decoder builds itself at the first call."""

            def call(self, batch, training=False):
                ids, length = batch["ids"], batch["length"]
                mask = tf.sequence_mask(length, tf.shape(ids)[1])
                encoded = self.encoder({"ids": ids, "mask": mask}, training=training)
                logits = self.encoder.logits(encoded.sequence[:, :-1])
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(ids[:, 1:], logits)
                told = tf.maximum(tf.cast(length - 1, tf.float32), 1.0)
                return tf.reduce_sum(tf.where(mask[:, 1:], losses, 0.0), axis=1) / told

        model = Model()
        model({"ids": np.zeros([1, 2], np.int32), "length": np.array([2], np.int32)})
        return model
