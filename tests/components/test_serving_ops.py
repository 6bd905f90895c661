"""Tests `components/serving_ops.py`: the list is what the wheels register that TF Serving is built from."""

import subprocess
import sys

import pytest

from components.serving_ops import CORE, LATER, LINKED, TEXT

OP_LIST = """
import ctypes, sys
from components.native_session import _runtime
class Buffer(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("length", ctypes.c_size_t), ("free", ctypes.c_void_p)]
tf = _runtime(sys.argv[1])
tf.TF_GetAllOpList.restype = ctypes.POINTER(Buffer)
found = tf.TF_GetAllOpList().contents
sys.stdout.buffer.write(ctypes.string_at(found.data, found.length))
"""


def registered(packages: str) -> set[str]:
    """Names of the ops, TF Text's included, that a server could run."""
    from tensorflow.core.framework import op_def_pb2

    done = subprocess.run([sys.executable, "-c", OP_LIST, packages], capture_output=True, check=True)
    names = {op.name for op in op_def_pb2.OpList.FromString(done.stdout).op}
    return {n for n in names if not n.startswith("_") and not any(part in n for part in ("Xla", "TPU", "PyFunc"))}


def test_every_op_of_the_list_is_one_of_this_tensorflow():
    assert LINKED["2.20"] <= registered("")
    assert not CORE & TEXT and not LATER & (CORE | TEXT)


@pytest.mark.slow
def test_the_list_is_all_that_the_tensorflow_of_tf_serving_has(older_tensorflow):
    assert registered(older_tensorflow) == LINKED["2.20"]
