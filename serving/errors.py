"""What a request can be answered instead of a result: a status, with TensorFlow Serving's words."""

import re
from typing import Any

import grpc

CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


class ServingError(Exception):
    """A gRPC status (or its name) and a message; REST turns the status into HTTP's."""

    def __init__(self, code: grpc.StatusCode | str, message: str):
        super().__init__(message)
        self.code = grpc.StatusCode[code] if isinstance(code, str) else code
        self.message = message


def from_tensorflow(error: Any) -> ServingError:
    """The status that TensorFlow's runtime gave (a `tf.errors.OpError`), without what Python added to its message."""
    message = re.split(r"\n\nOriginal stack trace|\n\nErrors may have originated", str(error.message))[0]
    return ServingError(CODES.get(error.error_code, grpc.StatusCode.UNKNOWN), message.strip())
