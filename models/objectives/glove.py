"""GloVe (Pennington et al. 2014): products of vectors are logarithms of how often words stand near each other."""

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from models.objectives.word_vectors import WordObjective


class GloveObjective(WordObjective):
    """Weighted least squares over the pairs of words that were seen together (equation 8), by AdaGrad."""

    window: int = Field(10, ge=1, le=50, description="words on each side; a pair d words apart counts 1 / d")
    most: float = Field(100.0, gt=0, description="pairs that count this or more have the full weight (x_max)")
    power: float = Field(0.75, gt=0, le=1, description="of the weight of those that count less (alpha)")

    data: ClassVar[Literal["rows", "pairs", "blocks", "sentences"]] = "pairs"
    recommended: ClassVar[dict[str, Any]] = {
        "epochs": 15,
        "batch_tokens": 4096,
        "optimizer": {"name": "adagrad", "learning_rate": 0.05, "clip_norm": None},
    }

    def build(self, family, vocabulary, counts, max_tokens=None):
        import keras
        import tensorflow as tf

        from models.rows import Rows

        size, width, objective = vocabulary.size, family.vector_width, self

        def random(columns):
            drawn = keras.random.uniform([size, columns], -0.5 / (width + 1), 0.5 / (width + 1), "float32")
            return Rows(keras.ops.convert_to_numpy(drawn))

        class Model(keras.Model):
            """Gives each pair's weighted square <float32>[B]. A word's bias is the last column of its row."""

            def __init__(self):
                super().__init__(autocast=False)  # counts stay exact in half precision
                self.words, self.contexts = random(width + 1), random(width + 1)
                self.family, self.vocabulary = family, vocabulary

            def build(self, batch_shapes):
                """Nothing to do: the parts are built."""

            def call(self, batch, training=False):
                words, contexts = self.words(batch["ids"][:, 0]), self.contexts(batch["ids"][:, 1])
                product = tf.reduce_sum(words[:, :-1] * contexts[:, :-1], axis=1) + words[:, -1] + contexts[:, -1]
                weight = tf.minimum(tf.pow(batch["count"] / objective.most, objective.power), 1.0)
                return weight * tf.square(product - tf.math.log(batch["count"]))

        model = Model()
        model({"ids": np.zeros([1, 2], np.int32), "count": np.ones(1, np.float32)})
        return model

    def save(self, model, directory):
        """The sum of each word's two vectors, as the paper recommends (section 4.2)."""
        table = model.words.table.numpy()[:, :-1] + model.contexts.table.numpy()[:, :-1]
        return model.family.save_table(table, model.vocabulary, directory)
