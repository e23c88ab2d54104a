"""ovmsclient over TensorFlow Serving's REST API: its three calls, arrays in and out."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from lines import pack, serve, unpack
from ovmsclient import make_http_client
from ovmsclient.tfs_compat.base.errors import ModelServerError


def main(address: str) -> None:
    """Drive one client."""
    client = make_http_client(address)

    def predict(inputs: dict[str, Any], model: str, **options: Any) -> Any:
        outputs = client.predict({name: _input(one) for name, one in inputs.items()}, model, **options)
        if isinstance(outputs, dict):
            return {name: pack(array) for name, array in outputs.items()}
        return pack(outputs)

    def find(name: str) -> Callable[..., Any]:
        return predict if name == "predict" else getattr(client, name)

    serve(find, ModelServerError, lambda error: {"message": str(error)})


def _input(one: Any) -> Any:
    """An array, text as numpy's bytes; a list or a number stays for the client to make an array of."""
    if not isinstance(one, dict):
        return one
    array = unpack(one)
    return np.char.encode(array.astype(str), "utf-8") if array.dtype == object else array


main(sys.argv[1])
