"""How a test drives a program in a client's own environment: a call a line comes in, its answer a line goes out.

Both sides import this. numpy is all that their environments have in common.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def pack(array: Array) -> dict[str, Any]:
    """The array as JSON can carry it; text is text, whether it comes as str or as UTF-8."""
    flat = array.ravel()
    if array.dtype.kind == "V":  # bfloat16
        flat = flat.astype(np.float32)
    values = [value.decode() if isinstance(value, bytes) else value for value in flat.tolist()]
    dtype = "object" if array.dtype.kind in "OSU" else array.dtype.name
    return {"dtype": dtype, "shape": list(array.shape), "values": values}


def unpack(document: dict[str, Any]) -> Array:
    """The array that `pack` was given, text as `str` objects."""
    return np.array(document["values"], document["dtype"]).reshape(document["shape"])


def serve(
    find: Callable[[str], Callable[..., Any]],
    refusal: type[Exception],
    told: Callable[[Any], dict[str, Any]],
) -> None:
    """Do what stdin asks for, until it closes. `told` says what the client's own kind of exception means."""
    for line in sys.stdin:
        name, arguments, options = json.loads(line)
        try:
            answer = {"result": find(name)(*arguments, **options)}
        except refusal as error:
            answer = {"refused": {"kind": type(error).__name__, **told(error)}}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
