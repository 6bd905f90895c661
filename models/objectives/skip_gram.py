"""Skip-gram with negative sampling (Mikolov et al. 2013), over n-grams of characters too (Bojanowski et al. 2017)."""

from models.objectives.windows import Windows, against


class SkipGram(Windows):
    """Each word near a word tells it from drawn ones.

    The negatives are drawn once for a word, not once for each word near it (as Ji et al. 2016 do): all its scores are
    then one product of matrices.
    """

    def losses(self, vectors, near, there, outputs, counted):
        import tensorflow as tf

        scores = tf.matmul(tf.gather(vectors, near), outputs, transpose_b=True)
        losses = tf.reduce_sum(against(scores, counted[:, None, :]), axis=2)
        return tf.reduce_sum(tf.where(there, losses, 0.0), axis=1)
