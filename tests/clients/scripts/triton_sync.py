"""tritonclient.http: any method of the client by its name, inference with arrays."""

import sys
from collections.abc import Callable
from typing import Any

from lines import serve
from triton_memory import MEMORY
from triton_tensors import Document, arguments, result, told
from tritonclient.http import InferenceServerClient
from tritonclient.utils import InferenceServerException


def main(address: str) -> None:
    """Drive one client with four connections."""
    client = InferenceServerClient(address, concurrency=4)

    def infer(**request: Any) -> Document:
        return result(client.infer(**arguments(request)))

    def infer_together(*requests: Document) -> list[Document]:
        under_way = [client.async_infer(**arguments(request)) for request in requests]
        return [result(one.get_result()) for one in under_way]

    def find(name: str) -> Callable[..., Any]:
        own = {"infer": infer, "infer_together": infer_together, **MEMORY}
        return own.get(name) or getattr(client, name)

    serve(find, InferenceServerException, told)


main(sys.argv[1])
