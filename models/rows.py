"""Large tables, read and updated row by row.

Keras' optimizers touch a whole table at each step, whatever the batch reads of it: with 200,000 rows of 100 numbers
that costs several times the rest of the step. Here a step touches the rows that have a gradient.
"""

import keras
import numpy as np
import tensorflow as tf


class Rows(keras.layers.Layer):
    """A table <float32>[rows, width]; called with rows <int>[...] it gives them <float32>[..., width]."""

    def __init__(self, table: np.ndarray, trainable: bool = True):
        super().__init__(trainable=trainable)
        self.table = self.add_weight(
            shape=table.shape,
            initializer=lambda shape, dtype: tf.constant(table, dtype),
            trainable=trainable,
            autocast=False,
            dtype="float32",
            name="rows",
        )
        self.table.row_sparse = True

    def call(self, rows: tf.Tensor) -> tf.Tensor:
        return tf.gather(self.table.value, rows)  # of the variable: a read of the whole would copy it at each update


class Spelled(keras.layers.Layer):
    """Called with ids <int32>[n], it gives the mean of each word's row and its n-grams' <float32>[n, width]."""

    def __init__(self, words: Rows, buckets: Rows, ngrams: np.ndarray, splits: np.ndarray):
        super().__init__()
        self.words, self.buckets, self.cut = words, buckets, (tf.constant(ngrams), tf.constant(splits))

    def call(self, ids: tf.Tensor) -> tf.Tensor:
        sums, counts = spelled(self.words, self.buckets, *self.cut, ids)
        return sums / counts


def spelled(
    words: Rows,
    buckets: Rows,
    ngrams: tf.Tensor,
    splits: tf.Tensor,
    ids: tf.Tensor,
    weights: tuple[tf.Tensor, tf.Tensor] | None = None,
) -> tuple:
    """The sum of each word's row and its n-grams' rows <float32>[n, width], and how many rows that are <float32>[n, 1].

    ngrams <int32>[total]: the buckets of the n-grams of word i are ngrams[splits[i]:splits[i + 1]]. Each different word
    of ids <int32>[n] is put together once. weights: of each word <float32>[words] and bucket <float32>[buckets], how
    much its row counts; 1 where there are none.
    """
    different, place = tf.unique(ids)
    starts, ends = (tf.gather(splits, different + n) for n in (0, 1))
    cut = tf.ragged.range(starts, ends)
    bucket, owner, size = tf.gather(ngrams, cut.values), cut.value_rowids(), tf.size(different, out_type=tf.int64)
    own, others, counts = words(different), buckets(bucket), tf.cast(ends - starts + 1, tf.float32)[:, None]
    if weights is not None:
        heavy, heavies = (tf.gather(*pair)[:, None] for pair in ((weights[0], different), (weights[1], bucket)))
        own, others = own * heavy, others * heavies
        counts = heavy + tf.math.unsorted_segment_sum(heavies, owner, size)
    sums = own + tf.math.unsorted_segment_sum(others, owner, size)
    return tf.gather(sums, place), tf.gather(counts, place)


def row_wise(kind: type[keras.Optimizer], weights: list[keras.Variable]) -> type[keras.Optimizer]:
    """The optimizer class `kind`, with steps by rows where a weight is a table of Rows; `kind` itself where none is.

    sgd, adam, adamw and adagrad have such steps, the rows' equations being the optimizer's own. The moments of rows
    without a gradient stay as they are (as in TensorFlow Addons' LazyAdam), and no weight decay reaches them. Other
    optimizers take whole tables as always.
    """
    steps = {keras.optimizers.SGD: _sgd, keras.optimizers.Adagrad: _adagrad, keras.optimizers.Adam: _adam}
    step = next((step for base, step in steps.items() if issubclass(kind, base)), None)
    if step is None or not any(map(is_row_sparse, weights)):
        return kind

    class RowWise(kind):  # type: ignore[misc, valid-type]
        def build(self, variables):
            super().build(variables)
            self.row_sparse = {self._get_variable_index(each) for each in variables if is_row_sparse(each)}

        def _backend_apply_gradients(self, grads, trainable_variables):
            """Each row once, so that norms and moments see what they would see of whole tables."""
            super()._backend_apply_gradients([_each_row_once(g) for g in grads], trainable_variables)

        def _clip_gradients(self, grads):
            return tf.clip_by_global_norm(grads, self.global_clipnorm)[0] if self.global_clipnorm else grads

        def update_step(self, gradient, variable, learning_rate):
            index = self._get_variable_index(variable)
            if index in self.row_sparse and isinstance(gradient, tf.IndexedSlices):
                step(self, index, gradient.values, gradient.indices, variable, tf.cast(learning_rate, tf.float32))
            else:
                super().update_step(gradient, variable, learning_rate)

    RowWise.__name__ = kind.__name__
    return RowWise


def is_row_sparse(variable: keras.Variable) -> bool:
    return getattr(variable, "row_sparse", False)


def _each_row_once(gradient):
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    rows, place = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, place, tf.size(rows))
    return tf.IndexedSlices(values, rows, gradient.dense_shape)


def _write(variable, values, rows) -> None:
    variable = variable.value if isinstance(variable, keras.Variable) else variable
    variable.scatter_update(tf.IndexedSlices(values, rows))


def _read(variable, rows) -> tf.Tensor:
    return tf.gather(variable.value if isinstance(variable, keras.Variable) else variable, rows)


def _sgd(optimizer, index, gradient, rows, variable, rate) -> None:
    change = -rate * gradient
    if optimizer.momentum:
        change += optimizer.momentum * _read(optimizer.momentums[index], rows)
        _write(optimizer.momentums[index], change, rows)
    variable.scatter_add(tf.IndexedSlices(change, rows))


def _adagrad(optimizer, index, gradient, rows, variable, rate) -> None:
    squares = _read(optimizer._accumulators[index], rows) + tf.square(gradient)
    _write(optimizer._accumulators[index], squares, rows)
    variable.scatter_sub(tf.IndexedSlices(rate * gradient / tf.sqrt(squares + optimizer.epsilon), rows))


def _adam(optimizer, index, gradient, rows, variable, rate) -> None:
    step = tf.cast(optimizer.iterations + 1, tf.float32)
    first, second = optimizer._momentums[index], optimizer._velocities[index]
    mean = optimizer.beta_1 * _read(first, rows) + (1 - optimizer.beta_1) * gradient
    square = optimizer.beta_2 * _read(second, rows) + (1 - optimizer.beta_2) * tf.square(gradient)
    _write(first, mean, rows)
    _write(second, square, rows)
    rate *= tf.sqrt(1 - optimizer.beta_2**step) / (1 - optimizer.beta_1**step)
    variable.scatter_sub(tf.IndexedSlices(rate * mean / (tf.sqrt(square) + optimizer.epsilon), rows))
