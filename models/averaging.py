"""The running mean of a model's weights over its training steps, often better than the weights it ends with."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import keras
import tensorflow as tf


class Average:
    """mean += (1 - d) (weight - mean) after each step t, d = min(decay, (1 + t) / (10 + t)).

    That is TensorFlow's ExponentialMovingAverage with `num_updates`; Keras optimizers' own works on one device only,
    and starts at zero. Made in the scope of the run's strategy; `decay` 0 keeps no mean.
    """

    def __init__(self, weights: Sequence[keras.Variable], decay: float):
        self.decay = decay
        self.weights = [weight.value for weight in weights] if decay else []
        self.means = [tf.Variable(weight.numpy(), trainable=False) for weight in self.weights]
        self.steps = tf.Variable(0.0, trainable=False)
        self.variables = [self.steps, *self.means] if decay else []  # what a checkpoint needs

    def update(self, strategy: tf.distribute.Strategy) -> None:
        """Takes in the weights as a step has left them; called outside of the replicas, in the graph."""
        if not self.weights:
            return
        steps = self.steps.assign_add(1.0)
        share = 1.0 - tf.minimum(self.decay, (1.0 + steps) / (10.0 + steps))

        def move(mean, weight):
            mean.assign_add(tf.cast(share, mean.dtype) * (weight - mean))

        for mean, weight in zip(self.means, self.weights, strict=True):
            strategy.extended.update(mean, move, args=(weight,))

    def take(self) -> None:
        """Puts the means in the weights' place."""
        for weight, mean in zip(self.weights, self.means, strict=True):
            weight.assign(mean.numpy())

    @contextmanager
    def taken(self) -> Iterator[None]:
        """The means in the weights' place, for as long as it lasts."""
        live = [weight.numpy() for weight in self.weights]
        self.take()
        yield
        for weight, value in zip(self.weights, live, strict=True):
            weight.assign(value)
