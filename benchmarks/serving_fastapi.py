"""The server that one writes in an afternoon: FastAPI, the SavedModel's signature in a thread, one request a call.

python -m benchmarks.serving_fastapi SAVED_MODEL PORT
"""

import sys

import tensorflow as tf
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from components.saved_model import register_text_ops


class Body(BaseModel):
    instances: list[str]


def make(path: str) -> FastAPI:
    register_text_ops()
    model = tf.saved_model.load(path)
    answer = model.signatures["serving_default"]
    app = FastAPI()
    app.state.model = model  # keeps the weights alive

    @app.get("/health")
    def health() -> str:
        return "ok"

    @app.post("/predict")
    def predict(body: Body) -> dict:
        found = answer(text=tf.constant(body.instances))
        labels, scores = found["label"].numpy(), found["scores"].numpy()
        rows = zip(labels, scores, strict=True)
        return {"predictions": [{"label": label.decode(), "scores": row.tolist()} for label, row in rows]}

    return app


if __name__ == "__main__":
    uvicorn.run(make(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
