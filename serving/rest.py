"""TensorFlow Serving's REST API on aiohttp. Models run in threads; the event loop only moves bytes.

Sources: tensorflow_serving/model_servers/http_rest_api_util.cc (paths), http_rest_api_handler.cc (which call answers
what), http_server.cc (statuses, CORS, the metrics page), g3doc/api_rest.md.
"""

import asyncio
import json
import logging
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from serving.core import Core
from serving.errors import ServingError
from serving.json_answer import classify_answer, error_answer, predict_answer, regress_answer
from serving.json_examples import parse_examples
from serving.json_tensor import parse_predict
from serving.metrics import CONTENT_TYPE
from serving.options import RPCS, THREADS, WAITING, Options
from serving.protos import MonitoringConfig, read_text
from serving.spec import ModelSpec

OTHER_CODE = 500
HTTP_CODES = {
    "OK": 200, "INVALID_ARGUMENT": 400, "FAILED_PRECONDITION": 400, "OUT_OF_RANGE": 400, "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403, "NOT_FOUND": 404, "ALREADY_EXISTS": 409, "ABORTED": 409, "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499, "UNIMPLEMENTED": 501, "UNAVAILABLE": 503, "DEADLINE_EXCEEDED": 504,
}  # fmt: skip
MODEL = r"/v1/models/([^/:]+)"
VERSION = r"(?:/versions/([0-9]+)|/labels/([^/:]+))?"
POST = re.compile(rf"(?i){MODEL}{VERSION}:(classify|regress|predict)")
GET = re.compile(rf"(?i)/v1/models(?:/([^/:]+))?{VERSION}(?:/(metadata))?")
METRICS_PATH = "/monitoring/prometheus/metrics"
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}

log = logging.getLogger(__name__)


def make_app(core: Core, options: Options) -> web.Application:
    """The REST API of a core. Raises ServingError if the file of `--monitoring_config_file` is wrong."""
    rest = Rest(core, options)
    app = web.Application(client_max_size=options.max_request_bytes)
    app.router.add_route("*", "/{path:.*}", rest.answer)
    app.on_cleanup.append(rest.close)
    return app


class Rest:
    def __init__(self, core: Core, options: Options):
        self.core, self.options = core, options
        self.timeout = options.rest_api_timeout_in_ms / 1000 if options.rest_api_timeout_in_ms > 0 else None
        self.headers = CORS if options.rest_api_enable_cors_support else {}
        self.metrics_path = _metrics_path(options.monitoring_config_file)
        # Those who wait for a batch hold a thread each.
        threads = options.rest_api_num_threads or (RPCS if options.enable_batching else THREADS)
        self.threads = ThreadPoolExecutor(threads, "rest")
        self.waiting, self.most = 0, WAITING * threads

    async def close(self, app: web.Application) -> None:
        self.threads.shutdown(wait=False, cancel_futures=True)

    async def answer(self, request: web.Request) -> web.Response:
        path = request.raw_path
        if path.partition("?")[0] == self.metrics_path:
            page = await asyncio.to_thread(self.core.metrics.render)
            return web.Response(body=page.encode(), headers={"Content-Type": CONTENT_TYPE})
        if not path.lower().startswith("/v1/"):
            return web.Response(status=404, text="404: Not Found")
        try:
            body = await asyncio.wait_for(self._answer(request, path), self.timeout)
            return web.Response(body=body, content_type="application/json", headers=self.headers)
        except ServingError as error:
            return self._refuse(HTTP_CODES.get(error.code.name, OTHER_CODE), error.message)
        except TimeoutError:
            return self._refuse(504, "Timed out waiting for notification")
        except web.HTTPRequestEntityTooLarge:
            return self._refuse(413, f"The body is larger than --max_request_bytes={self.options.max_request_bytes}")
        except (web.RequestPayloadError, ConnectionError) as error:
            return self._refuse(400, f"The body could not be read: {error}")
        except Exception as error:
            log.exception("%s %s", request.method, path)
            return self._refuse(500, f"{type(error).__name__}: {error}")

    def _refuse(self, status: int, message: str) -> web.Response:
        body = error_answer(message)
        return web.Response(status=status, body=body, content_type="application/json", headers=self.headers)

    async def _answer(self, request: web.Request, path: str) -> bytes:
        method = request.method
        if method == "OPTIONS":
            if not re.search("https?://", request.headers.get("Origin", "")):
                raise ServingError("FAILED_PRECONDITION", "Origin header is missing in CORS preflight")
            return b""
        body = await request.read()
        pattern = {"POST": POST, "GET": GET}.get(method)
        found = pattern and pattern.fullmatch(path)
        calls = {"predict": self._predict, "classify": self._classify, "regress": self._regress}
        if not found or (method == "POST" and found[4] not in calls):  # `:PREDICT` matches and is no call
            raise ServingError("INVALID_ARGUMENT", f"Malformed request: {method} {path}")
        spec = _spec(*found.groups()[:3])
        if method == "GET":
            return await asyncio.to_thread(self._metadata if found[4] == "metadata" else self._status, spec)
        return await self._run(calls[found[4]], spec, body)

    async def _run(self, call: Callable[[ModelSpec, bytes], bytes], spec: ModelSpec, body: bytes) -> bytes:
        if self.waiting >= self.most:
            raise ServingError("RESOURCE_EXHAUSTED", f"{self.waiting} requests are waiting; the server takes no more")
        self.waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self.threads, self._count, call, spec, body)
        finally:
            self.waiting -= 1

    def _count(self, call: Callable[[ModelSpec, bytes], bytes], spec: ModelSpec, body: bytes) -> bytes:
        with self.core.metrics.request(spec.name, call.__name__.strip("_").title(), "REST"):
            return call(spec, body)

    def _predict(self, spec: ModelSpec, body: bytes) -> bytes:
        parsed = parse_predict(body, lambda name: self.core.signature(replace(spec, signature_name=name)).inputs)
        spec = replace(spec, signature_name=parsed.signature_name)
        _, outputs = self.core.predict(spec, parsed.inputs, timeout=self.timeout)
        return predict_answer(outputs, parsed.row)

    def _classify(self, spec: ModelSpec, body: bytes) -> bytes:
        parsed = parse_examples(body)
        spec = replace(spec, signature_name=parsed.signature_name)
        _, found = self.core.classify(spec, parsed.examples, timeout=self.timeout)
        return classify_answer(found.classes, found.scores)

    def _regress(self, spec: ModelSpec, body: bytes) -> bytes:
        parsed = parse_examples(body)
        spec = replace(spec, signature_name=parsed.signature_name)
        return regress_answer(self.core.regress(spec, parsed.examples, timeout=self.timeout)[1])

    def _status(self, spec: ModelSpec) -> bytes:
        # A label is read and not used, as in TensorFlow Serving.
        states = [
            {
                "version": str(state.version),
                "state": state.state.name,
                "status": {"error_code": state.code, "error_message": state.message},
            }
            for state in self.core.status(spec.name, spec.version)
        ]
        return _json({"model_version_status": states})

    def _metadata(self, spec: ModelSpec) -> bytes:
        from google.protobuf.json_format import MessageToDict
        from tensorflow_serving.apis.get_model_metadata_pb2 import SignatureDefMap

        found, signatures = self.core.metadata(spec)
        known = MessageToDict(
            SignatureDefMap(signature_def=signatures),
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
        )
        model_spec = {"name": found.name, "signature_name": "", "version": str(found.version)}
        return _json({"model_spec": model_spec, "metadata": {"signature_def": known}})


def _spec(name: str | None, version: str | None, label: str | None) -> ModelSpec:
    digits = (version or "").lstrip("0")
    if len(digits) > 19 or int(digits or 0) >= 2**63:
        raise ServingError("INVALID_ARGUMENT", f"Failed to convert version: {version} to numeric.")
    if not name:
        raise ServingError("INVALID_ARGUMENT", "Missing model name in request.")
    return ModelSpec(unquote(name), int(version) if version else None, unquote(label or ""))


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1) + "\n").encode()


def _metrics_path(monitoring_config_file: str) -> str:
    """Where the metrics are; "" if the file turns them off. Without a file they are on, unlike TensorFlow Serving's."""
    if not monitoring_config_file:
        return METRICS_PATH
    config = read_text(monitoring_config_file, MonitoringConfig).prometheus_config
    return (config.path or METRICS_PATH) if config.enable else ""
