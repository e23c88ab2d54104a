"""What Octet is compared with; uvicorn runs each in a process of its own. Read them: they are meant to be short.

`constant` answers the bytes of the file BENCH_ANSWER. `handler` serves the ONNX file BENCH_MODEL, as one would
write it in an afternoon.
"""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from fastapi import FastAPI
from pydantic import BaseModel

_answer = Path(os.environ["BENCH_ANSWER"]).read_bytes()
_head = [(b"content-type", b"application/json"), (b"content-length", str(len(_answer)).encode())]


async def constant(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
    """The least an ASGI application can do: it does not even read the body."""
    await send({"type": "http.response.start", "status": 200, "headers": _head})
    await send({"type": "http.response.body", "body": _answer})


handler = FastAPI()
session = onnxruntime.InferenceSession(os.environ["BENCH_MODEL"])


class Rows(BaseModel):
    """The body of `:predict` in row form."""

    instances: list[list[float]]


@handler.post("/v1/models/mlp:predict")
async def predict(body: Rows) -> dict[str, Any]:
    """One request, one run."""
    (scores,) = session.run(None, {"x": np.array(body.instances, np.float32)})
    return {"predictions": scores.tolist()}
