"""Text protobufs that flags name, and the messages `tensorflow-serving-api` leaves out of its package.

Those are declared here with their field numbers (session_bundle_config, ssl_config and monitoring_config .proto).
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2

from serving.errors import ServingError

FIELD = descriptor_pb2.FieldDescriptorProto
WRAPPER = ".google.protobuf."
PACKAGE = "tensorflow.serving"

# message: {field: (number, type)}; a type that opens with a dot is a message.
MESSAGES: dict[str, dict[str, tuple[int, Any]]] = {
    "BatchingParameters": {
        "max_batch_size": (1, WRAPPER + "Int64Value"),
        "batch_timeout_micros": (2, WRAPPER + "Int64Value"),
        "max_enqueued_batches": (3, WRAPPER + "Int64Value"),
        "num_batch_threads": (4, WRAPPER + "Int64Value"),
        "thread_pool_name": (5, WRAPPER + "StringValue"),
        "allowed_batch_sizes": (6, [FIELD.TYPE_INT64]),
        "pad_variable_length_inputs": (7, FIELD.TYPE_BOOL),
    },
    "SSLConfig": {
        "server_key": (1, FIELD.TYPE_STRING),
        "server_cert": (2, FIELD.TYPE_STRING),
        "custom_ca": (3, FIELD.TYPE_STRING),
        "client_verify": (4, FIELD.TYPE_BOOL),
    },
    "PrometheusConfig": {"enable": (1, FIELD.TYPE_BOOL), "path": (2, FIELD.TYPE_STRING)},
    "MonitoringConfig": {"prometheus_config": (1, f".{PACKAGE}.PrometheusConfig")},
}


def _declare() -> dict[str, type]:
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(name="serving.proto", package=PACKAGE, syntax="proto3")
    file.dependency.append("google/protobuf/wrappers.proto")
    for name, members in MESSAGES.items():
        message = file.message_type.add(name=name)
        for member, (number, kind) in members.items():
            place = message.field.add(name=member, number=number, label=FIELD.LABEL_OPTIONAL)
            if isinstance(kind, list):
                place.label, (kind,) = FIELD.LABEL_REPEATED, kind
            if isinstance(kind, str):
                place.type, place.type_name = FIELD.TYPE_MESSAGE, kind
            else:
                place.type = kind
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in MESSAGES}


_classes = _declare()
BatchingParameters, SSLConfig, MonitoringConfig = (
    _classes[name] for name in ("BatchingParameters", "SSLConfig", "MonitoringConfig")
)


def read_text(path: str, message: Any) -> Any:
    """The text protobuf in a file, as a `message` (a class). Raises ServingError with file, line and reason."""
    name = message.DESCRIPTOR.full_name
    try:
        with open(path, encoding="utf-8") as file:
            return text_format.Parse(file.read(), message())
    except OSError as error:
        raise ServingError("NOT_FOUND", f"{path}: {error.strerror}; wanted a text-format {name}") from error
    except (text_format.ParseError, UnicodeDecodeError) as error:
        text = f"Invalid protobuf file: '{path}': Error parsing text-format {name}: {error}"
        raise ServingError("INVALID_ARGUMENT", text) from error
