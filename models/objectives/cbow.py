"""Continuous bag of words with negative sampling (Mikolov et al. 2013)."""

from models.objectives.windows import Windows, against


class Cbow(Windows):
    """The mean of the words near a word tells it from drawn ones."""

    def losses(self, vectors, near, there, outputs, counted):
        import tensorflow as tf

        weights = tf.cast(there, tf.float32)
        number = tf.reduce_sum(weights, axis=1)
        mean = tf.einsum("ncd,nc->nd", tf.gather(vectors, near), tf.math.divide_no_nan(weights, number[:, None]))
        losses = tf.reduce_sum(against(tf.einsum("nd,nkd->nk", mean, outputs), counted), axis=1)
        return tf.where(number > 0, losses, 0.0)
