"""A stand-in for tensorflow_model_server: its flags for one model, its REST calls for the newest version, no more.

python -m tests.contracts.model_server --rest_api_port=8501 --model_name=m --model_base_path=/models/m
"""

import argparse
import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.util import find_spec, module_from_spec
from pathlib import Path

from components.native_client import signatures
from components.native_session import NativeError, NativeSession, from_json, to_json

sys.modules["tensorflow"] = module_from_spec(find_spec("tensorflow"))  # its messages alone: it starts in no time


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        version, error = self.server.version, self.server.error
        status = {"version": version, "state": "END" if error else "AVAILABLE", "status": {"error_message": error}}
        self.answer({"model_version_status": [status]})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        signature = self.server.signatures[body["signature_name"]]
        inputs, outputs = (signature[side].endpoints for side in ("inputs", "outputs"))
        rows = {"inputs": [to_json(example(row)) for row in body["examples"]]} if "examples" in body else body["inputs"]
        try:
            found = self.server.session.run([(inputs[n], from_json(r)) for n, r in rows.items()], [*outputs.values()])
        except NativeError as error:
            return self.answer({"error": str(error)}, 400)
        named = dict(zip(outputs, map(to_json, found), strict=True))
        if self.path.endswith(":classify"):
            pairs = zip(named["classes"], named["scores"], strict=True)
            return self.answer({"results": [list(map(list, zip(*row, strict=True))) for row in pairs]})
        if self.path.endswith(":regress"):
            return self.answer({"results": named["outputs"]})
        self.answer({"outputs": named if len(named) > 1 else next(iter(named.values()))})

    def answer(self, body: dict, status: int = 200):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_):
        pass


def example(row: dict) -> bytes:
    from tensorflow.core.example.example_pb2 import Example

    made = Example()
    for name, value in row.items():
        made.features.feature[name].bytes_list.value.append(from_json(value))
    return made.SerializeToString()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port")  # gRPC, which nobody here asks by
    parser.add_argument("--rest_api_port", type=int)
    parser.add_argument("--model_name")
    parser.add_argument("--model_base_path", type=Path)
    flags = parser.parse_args()
    newest = max(flags.model_base_path.iterdir(), key=lambda path: int(path.name))
    server = HTTPServer(("127.0.0.1", flags.rest_api_port), Handler)
    server.version, server.error, server.signatures = newest.name, "", signatures(newest)
    try:
        server.session = NativeSession(str(newest))
    except NativeError as error:
        server.error = str(error)
    server.serve_forever()


if __name__ == "__main__":
    main()
