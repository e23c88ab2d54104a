"""tritonclient.http.aio: any method of the client by its name, inference with arrays."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from lines import serve
from triton_memory import MEMORY
from triton_tensors import Document, arguments, result, told
from tritonclient.http.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException


def main(address: str, runner: asyncio.Runner) -> None:
    """Drive one client on one loop."""

    async def connect() -> InferenceServerClient:
        return InferenceServerClient(address)

    client = runner.run(connect())

    async def infer(**request: Any) -> Document:
        return result(await client.infer(**arguments(request)))

    async def infer_together(*requests: Document) -> list[Document]:
        return await asyncio.gather(*(infer(**request) for request in requests))

    def awaited(call: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
        return lambda *positions, **options: runner.run(call(*positions, **options))

    def find(name: str) -> Callable[..., Any]:
        own = {"infer": infer, "infer_together": infer_together}
        return MEMORY.get(name) or awaited(own.get(name) or getattr(client, name))

    serve(find, InferenceServerException, told)
    runner.run(client.close())


with asyncio.Runner() as one_loop:
    main(sys.argv[1], one_loop)
