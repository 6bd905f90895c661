"""Tests `models/steps.py`: which shapes the functions of a run are traced for."""

from models.loop import train
from models.strategy import create
from models.training import Training
from tests.models import tiny


def run(stores, directory, build):
    training = Training(epochs=1, batch_tokens=512, max_tokens=30, buckets=2)
    train(build, tiny.Yes(), *stores, training=training, strategy=create("one"), checkpoint_dir=directory)


def test_rows_of_a_length_make_steps_of_a_known_shape(tmp_path):
    uneven, even = tiny.store(tmp_path, 30), tiny.store(tmp_path, 30, seed=1, longest=1)
    shapes = []

    def build():
        model = tiny.build()
        call = model.call
        model.call = lambda inputs, **kw: (shapes.append(tuple(inputs["ids"].shape)), call(inputs, **kw))[1]
        return model

    run((uneven, even), tmp_path / "a", build)
    assert (None, None) in shapes and (512, 1) in shapes  # of training, of validation
    shapes.clear()
    run((even, uneven), tmp_path / "b", build)
    assert (512, 1) in shapes and (None, None) in shapes
