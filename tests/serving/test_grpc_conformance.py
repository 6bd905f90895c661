"""gRPC's conformance cases, re-written from TensorFlow Serving's tensorflow_model_server_test.py, predict_util_test.cc,
classifier_test.cc, regressor_test.cc, multi_inference_test.cc, get_model_metadata_impl_test.cc and
get_model_status_impl_test.cc, and put to a server over the wire: ours, or the one at `--server`.
"""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    regression_pb2,
)

from tests.serving.conformance_models import ECHOED, HALF, LABEL, TYPES, VERSION
from tests.serving.running import SECONDS, Client, floats, predict_request

CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"


@pytest.fixture(scope="module")
def client(server):
    with Client(f"{server.host}:{server.grpc_port}") as client:
        yield client


def refused(call, request):
    """Status and message of a call that fails."""
    with pytest.raises(grpc.RpcError) as caught:
        call(request, SECONDS)
    return caught.value.code().name, caught.value.details()


def specified(request, name=HALF, signature="", version=None, label=""):
    """A request of any kind for a model."""
    request.model_spec.name, request.model_spec.signature_name = name, signature
    if version is not None:
        request.model_spec.version.value = version
    if label:
        request.model_spec.version_label = label
    return request


def of_examples(request, *features, **spec):
    """A Classify or Regress of Examples, each a mapping of floats or texts."""
    for each in features:
        fill(request.input.example_list.examples.add(), each)
    return specified(request, **spec)


def fill(example, features):
    for name, value in features.items():
        values = value if isinstance(value, list) else [value]
        if isinstance(values[0], str):
            example.features.feature[name].bytes_list.value.extend(text.encode() for text in values)
        else:
            example.features.feature[name].float_list.value.extend(values)


def check_spec(spec, signature, name=HALF):
    assert (spec.name, spec.signature_name, spec.version.value) == (name, signature, VERSION)


# GetModelStatus


def status(**spec):
    return specified(get_model_status_pb2.GetModelStatusRequest(), **spec)


@pytest.mark.parametrize("spec", [{}, {"version": VERSION}, {"label": LABEL}, {"label": "no such"}])
def test_status(client, spec):
    (found,) = client.models.GetModelStatus(status(**spec), SECONDS).model_version_status
    assert (found.version, found.state) == (VERSION, get_model_status_pb2.ModelVersionStatus.AVAILABLE)
    assert (found.status.error_code, found.status.error_message) == (0, "")


@pytest.mark.parametrize(
    "request_, code, part",
    [
        (get_model_status_pb2.GetModelStatusRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
        (status(name="none"), "NOT_FOUND", "Could not find any versions of model none"),
        (status(version=9), "NOT_FOUND", f"Could not find version 9 of model {HALF}"),
    ],
)
def test_status_refused(client, request_, code, part):
    found, message = refused(client.models.GetModelStatus, request_)
    assert found == code and part in message


# GetModelMetadata


def metadata(*fields, **spec):
    return specified(get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields), **spec)


@pytest.mark.parametrize("spec", [{}, {"version": VERSION}, {"label": LABEL}])
def test_metadata(client, spec):
    answer = client.prediction.GetModelMetadata(metadata("signature_def", **spec), SECONDS)
    check_spec(answer.model_spec, "")
    found = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(found)
    assert {"serving_default", "regress_x_to_y", "classify_x_to_y"} <= set(found.signature_def)
    signature = found.signature_def["serving_default"]
    assert (signature.inputs["x"].name, signature.outputs["y"].name) == ("x:0", "y:0")
    assert signature.method_name == "tensorflow/serving/predict"


@pytest.mark.parametrize(
    "request_, code, part",
    [
        (
            get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"]),
            "INVALID_ARGUMENT",
            "Missing",
        ),
        (metadata(), "INVALID_ARGUMENT", "GetModelMetadataRequest must specify at least one metadata_field"),
        (metadata("weights"), "INVALID_ARGUMENT", "is not supported"),
        (metadata("signature_def", name="none"), "NOT_FOUND", "Servable not found for request: Latest(none)"),
        (metadata("signature_def", version=9), "NOT_FOUND", f"Servable not found for request: Specific({HALF}, 9)"),
    ],
)
def test_metadata_refused(client, request_, code, part):
    found, message = refused(client.prediction.GetModelMetadata, request_)
    assert found == code and part in message


# Classify


def classify(*features, **spec):
    return of_examples(classification_pb2.ClassificationRequest(), *features, **spec)


def test_classify_gives_scores(client):
    answer = client.prediction.Classify(classify({"x": 2.0}, {"x": 20.0}, signature="classify_x_to_y"), SECONDS)
    check_spec(answer.model_spec, "classify_x_to_y")
    found = [[(each.label, each.score) for each in row.classes] for row in answer.result.classifications]
    assert found == [[("", 3.0)], [("", 12.0)]]


def test_classify_of_tensorflow_2_gives_labels_and_scores(client):
    request = classify({"names": ["foo", "bar"], "ratings": [8.0, 9.0]}, name=TYPES, signature="classify")
    answer = client.prediction.Classify(request, SECONDS)
    check_spec(answer.model_spec, "classify", TYPES)
    (row,) = answer.result.classifications
    assert [(each.label, each.score) for each in row.classes] == [("foo", 8.0), ("bar", 9.0)]


def test_a_context_is_joined_to_every_example(client):
    request = specified(classification_pb2.ClassificationRequest(), name=TYPES, signature="context")
    listed = request.input.example_list_with_context
    listed.context.features.feature["query"].bytes_list.value.append(b"pizza")
    for age in (3, 5):
        listed.examples.add().features.feature["age"].int64_list.value.append(age)
    answer = client.prediction.Classify(request, SECONDS)
    found = [[each.label for each in row.classes] for row in answer.result.classifications]
    assert found == [["pizza", "3"], ["pizza", "5"]]


@pytest.mark.parametrize(
    "request_, code, part",
    [
        (classify({"x": 1.0}, signature="none"), "INVALID_ARGUMENT", "No signature was found with the name: none"),
        (classify({"x": 1.0}), "FAILED_PRECONDITION", "No classification inputs found in SignatureDef"),
        (
            classify({"x": 1.0}, signature="regress_x_to_y"),
            "FAILED_PRECONDITION",
            'at least one of "classes" or "scores"',
        ),
        (classify(signature="classify_x_to_y"), "INVALID_ARGUMENT", "Input is empty"),
        (
            classify({"z": 1.0}, signature="classify_x_to_y"),
            "INVALID_ARGUMENT",
            "Feature: x (data type: float) is required",
        ),
        (classify({"x": "one"}, signature="classify_x_to_y"), "INVALID_ARGUMENT", "Data types don't match"),
        (classify({"x": 1.0}, name="none"), "NOT_FOUND", "Servable not found for request: Latest(none)"),
        (classify({"x": 1.0}, name=TYPES, signature="several"), "INVALID_ARGUMENT", "Expected one input Tensor"),
    ],
)
def test_classify_refused(client, request_, code, part):
    found, message = refused(client.prediction.Classify, request_)
    assert found == code and part in message


# Regress


def regress(*features, **spec):
    return of_examples(regression_pb2.RegressionRequest(), *features, **spec)


@pytest.mark.parametrize(
    "signature, value", [("regress_x_to_y", [3.0, 12.0]), ("regress_x_to_y2", [4.0, 13.0])], ids=["y", "y2"]
)
def test_regress(client, signature, value):
    answer = client.prediction.Regress(regress({"x": 2.0}, {"x": 20.0}, signature=signature), SECONDS)
    check_spec(answer.model_spec, signature)
    assert [each.value for each in answer.result.regressions] == value


def test_regress_of_tensorflow_2_gives_a_vector(client):
    answer = client.prediction.Regress(regress({"x": 2.0}, {"x": 4.0}, name=TYPES, signature="regress"), SECONDS)
    assert [each.value for each in answer.result.regressions] == [2.0, 4.0]


@pytest.mark.parametrize(
    "request_, code, part",
    [
        (regress({"x": 1.0}, signature="none"), "INVALID_ARGUMENT", "No signature was found with the name: none"),
        (regress({"x": 1.0}), "FAILED_PRECONDITION", "No regression inputs found in SignatureDef"),
        (regress({"x": 1.0}, signature="classify_x_to_y"), "FAILED_PRECONDITION", "No regression outputs found"),
        (regress(signature="regress_x_to_y"), "INVALID_ARGUMENT", "Input is empty"),
        (regress({"x": 1.0}, name=TYPES, signature="several"), "INVALID_ARGUMENT", "Expected one input Tensor"),
    ],
)
def test_regress_refused(client, request_, code, part):
    found, message = refused(client.prediction.Regress, request_)
    assert found == code and part in message


# MultiInference


def multi(*tasks, x=2.0):
    request = inference_pb2.MultiInferenceRequest()
    for name, signature, method in tasks:
        specified(request.tasks.add(method_name=method), name=name, signature=signature)
    fill(request.input.example_list.examples.add(), {"x": x})
    return request


def test_multi_inference(client):
    request = multi((HALF, "regress_x_to_y", REGRESS), (HALF, "classify_x_to_y", CLASSIFY))
    first, second = client.prediction.MultiInference(request, SECONDS).results
    assert first.regression_result.regressions[0].value == 3.0
    assert second.classification_result.classifications[0].classes[0].score == 3.0
    check_spec(first.model_spec, "regress_x_to_y")
    check_spec(second.model_spec, "classify_x_to_y")


Y = (HALF, "regress_x_to_y", REGRESS)


@pytest.mark.parametrize(
    "request_, code, part",
    [
        (multi(Y, Y), "INVALID_ARGUMENT", "Duplicate evaluation of signature: regress_x_to_y"),
        (multi(Y, (TYPES, "regress", REGRESS)), "INVALID_ARGUMENT", "must access the same model name"),
        (multi(Y, ("", "regress_x_to_y2", REGRESS)), "INVALID_ARGUMENT", "empty model name"),
        (multi((HALF, "none", REGRESS)), "INVALID_ARGUMENT", "Requested signature not found in model graph: none"),
        (multi((HALF, "regress_x_to_y", "predict")), "UNIMPLEMENTED", "Unsupported signature method_name: predict"),
        (multi(Y, (HALF, "regress_x2_to_y3", REGRESS)), "INVALID_ARGUMENT", "Input tensor must be the same for all"),
        (multi(("none", "", REGRESS)), "NOT_FOUND", "Servable not found for request: Latest(none)"),
        (inference_pb2.MultiInferenceRequest(), "INVALID_ARGUMENT", "ModelSpec has no name specified"),
    ],
)
def test_multi_inference_refused(client, request_, code, part):
    found, message = refused(client.prediction.MultiInference, request_)
    assert found == code and part in message


# Predict


@pytest.mark.parametrize("filters", [[], ["y"]])
@pytest.mark.parametrize("shape", [[1], [1, 1]], ids=["vector", "matrix"])
def test_predict(client, filters, shape):
    request = predict_request({"x": np.full(shape, 2.0, np.float32)}, HALF)
    request.output_filter.extend(filters)
    answer = client.prediction.Predict(request, SECONDS)
    assert list(answer.outputs) == ["y"] and answer.outputs["y"].dtype == tf.float32.as_datatype_enum
    assert list(answer.outputs["y"].float_val) == [3.0]
    assert [dim.size for dim in answer.outputs["y"].tensor_shape.dim] == shape
    check_spec(answer.model_spec, "serving_default")


@pytest.mark.parametrize("spec", [{"version": VERSION}, {"label": LABEL}, {"signature": "serving_default"}])
def test_predict_of_a_version(client, spec):
    request = specified(predict_request({"x": floats(2)}), **spec)
    check_spec(client.prediction.Predict(request, SECONDS).model_spec, "serving_default")


def test_predict_with_a_signature_for_examples(client):
    example = tf.train.Example()
    fill(example, {"x": 2.0})
    request = predict_request({"inputs": np.array([example.SerializeToString()])}, HALF, "regress_x_to_y")
    answer = client.prediction.Predict(request, SECONDS)
    assert list(answer.outputs["outputs"].float_val) == [3.0]


@pytest.mark.parametrize("dtype", [name for name in ECHOED if name != "string"])
@pytest.mark.parametrize("shape", [[], [0], [3], [2, 2]], ids=str)
def test_predict_gives_every_dtype_back(client, dtype, shape):
    value = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(ECHOED[dtype].as_numpy_dtype)
    outputs, _ = client.predict({"x": value}, TYPES, dtype)
    assert outputs["y"].dtype == value.dtype and outputs["y"].tolist() == value.tolist()
    assert outputs["y"].shape == value.shape


def test_predict_gives_texts_back(client):
    value = np.array([[b"", "año".encode()], [b"nul\0", b"\xff\0"]], object)
    outputs, _ = client.predict({"x": value}, TYPES, "string")
    assert outputs["y"].tolist() == value.tolist()


def tensor(**members):
    """A Predict of one tensor as a client in another language might write it."""
    shape = members.pop("shape")
    request = predict_request({}, TYPES, members.pop("signature"))
    proto = request.inputs["x"]
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    proto.dtype = members.pop("dtype").as_datatype_enum
    for name, value in members.items():
        if isinstance(value, list):
            getattr(proto, name).extend(value)
        else:
            setattr(proto, name, value)
    return request


@pytest.mark.parametrize(
    "request_, wanted",
    [
        (tensor(signature="float", dtype=tf.float32, shape=[3], float_val=[1.5]), [1.5, 1.5, 1.5]),
        (tensor(signature="float", dtype=tf.float32, shape=[3], float_val=[1.5, 2.5]), [1.5, 2.5, 2.5]),
        (tensor(signature="float", dtype=tf.float32, shape=[2]), [0, 0]),
        (tensor(signature="int64", dtype=tf.int64, shape=[1], int64_val=[7]), [7]),
        (tensor(signature="bool", dtype=tf.bool, shape=[2], bool_val=[True]), [True, True]),
        (tensor(signature="string", dtype=tf.string, shape=[2], string_val=[b"a"]), [b"a", b"a"]),
        (tensor(signature="string", dtype=tf.string, shape=[2], tensor_content=b"\x01\x02abc"), [b"a", b"bc"]),
        (tensor(signature="half", dtype=tf.half, shape=[1], half_val=[0x3E00]), [1.5]),
    ],
)
def test_predict_reads_what_other_clients_write(client, request_, wanted):
    answer = client.prediction.Predict(request_, SECONDS)
    assert tf.make_ndarray(answer.outputs["y"]).tolist() == wanted


@pytest.mark.parametrize(
    "request_",
    [
        tensor(signature="float", dtype=tf.float32, shape=[-1], float_val=[1.0]),
        tensor(signature="float", dtype=tf.float32, shape=[2], tensor_content=b"12345"),
        tensor(signature="string", dtype=tf.string, shape=[2], tensor_content=b"\x01\x09abc"),
        tensor(signature="float", dtype=tf.resource, shape=[1]),
    ],
)
def test_predict_refuses_what_is_no_tensor(client, request_):
    code, message = refused(client.prediction.Predict, request_)
    assert code == "INVALID_ARGUMENT" and "tensor parsing error: x" in message


def test_a_long_message_is_cut(client):
    code, message = refused(client.prediction.Predict, predict_request({"z" * 20_000: floats(1)}, HALF))
    assert code == "INVALID_ARGUMENT" and len(message) < 1100 and message.endswith("TRUNCATED")


def filtered(*names):
    request = predict_request({"x": floats(1)}, HALF)
    request.output_filter.extend(names)
    return request


@pytest.mark.parametrize(
    "request_, code, part",
    [
        (predict_request({"x": floats(1)}, ""), "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        (predict_request({"x": floats(1)}, "none"), "NOT_FOUND", "Servable not found for request: Latest(none)"),
        (
            predict_request({"x": floats(1)}, HALF, "", 9),
            "NOT_FOUND",
            f"Servable not found for request: Specific({HALF}, 9)",
        ),
        (specified(predict_request({}), label="none"), "INVALID_ARGUMENT", "Unrecognized servable version label: none"),
        (
            predict_request({"x": floats(1)}, HALF, "none"),
            "FAILED_PRECONDITION",
            'Serving signature key "none" not found.',
        ),
        (
            predict_request({}, HALF),
            "INVALID_ARGUMENT",
            "input size does not match signature: 0!=1 len({}) != len({x}). Sent extra: {}. Missing but required: {x}.",
        ),
        (
            predict_request({"x": floats(1), "z": floats(1)}, HALF),
            "INVALID_ARGUMENT",
            "2!=1 len({x,z}) != len({x}). Sent extra: {z}. Missing but required: {}.",
        ),
        (
            predict_request({"z": floats(1)}, HALF),
            "INVALID_ARGUMENT",
            "input tensor alias not found in signature: z. Inputs expected to be in the set {x}.",
        ),
        (filtered("z"), "INVALID_ARGUMENT", "output tensor alias not found in signature: z Outputs expected to be in"),
        (filtered("y", "y"), "INVALID_ARGUMENT", "duplicate output tensor alias: y"),
        (predict_request({"x": np.int32([1])}, HALF), "INVALID_ARGUMENT", "int32"),
        (predict_request({"x": np.array([b"text"])}, HALF), "INVALID_ARGUMENT", "string"),
    ],
)
def test_predict_refused(client, request_, code, part):
    found, message = refused(client.prediction.Predict, request_)
    assert found == code and part in message
