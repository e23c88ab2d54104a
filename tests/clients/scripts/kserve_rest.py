"""kserve's InferenceRESTClient, for `v1` or `v2`: any of its methods by name, inference with arrays."""

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import httpx
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput
from kserve.utils.numpy_codec import from_np_dtype
from lines import pack, serve, unpack

Document = dict[str, Any]


def main(url: str, protocol: str, runner: asyncio.Runner) -> None:
    """Drive one client on one loop."""

    async def connect() -> InferenceRESTClient:
        return InferenceRESTClient(RESTConfig(protocol=protocol))

    client = runner.run(connect())

    async def infer(model_name: str, **request: Any) -> Document:
        answer = await client.infer(url, _request(model_name, **request), model_name=model_name)
        outputs = {output.name: pack(output.as_numpy()) for output in answer.outputs}
        return {"id": answer.id, "model_name": answer.model_name, "outputs": outputs}

    async def predict(model_name: str, body: Document) -> Document:
        return await client.infer(url, body, model_name=model_name)

    async def ask(name: str, *arguments: Any) -> Any:
        return await getattr(client, name)(url, *arguments)

    def find(name: str) -> Callable[..., Any]:
        own = {"infer": infer, "predict": predict}.get(name)
        if own:
            return lambda *arguments, **options: runner.run(own(*arguments, **options))
        return lambda *arguments: runner.run(ask(name, *arguments))

    serve(find, httpx.HTTPStatusError, _told)
    runner.run(client.close())


def _told(error: httpx.HTTPStatusError) -> Document:
    return {"message": str(error), "status": error.response.status_code}


def _request(
    model_name: str,
    inputs: list[Document],
    outputs: list[Document] | None = None,
    parameters: Document | None = None,
    request_id: str | None = None,
) -> InferRequest:
    asked = [RequestedOutput(one["name"], {"binary_data": one["binary"]}) for one in outputs or []]
    return InferRequest(
        model_name,
        [_input(one) for one in inputs],
        request_id=request_id,
        parameters=parameters,
        request_outputs=asked or None,
    )


def _input(one: Document) -> InferInput:
    array = unpack(one["tensor"])
    made = InferInput(one["name"], list(array.shape), from_np_dtype(array.dtype))
    made.set_data_from_numpy(array, binary_data=one["binary"])
    return made


with asyncio.Runner() as one_loop:
    main(sys.argv[1], sys.argv[2], one_loop)
