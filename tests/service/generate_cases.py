"""Requests of Triton's generate and generate_stream for both doors, beside those of `door_cases`."""

import gzip

from tests.service.door_cases import Case, post
from tests.service.wire import request


def generate(body: object, name: str = "echo", *headers: str, stream: bool = False, expected: int = 200) -> Case:
    return post(body, f"/v2/models/{name}/generate{'_stream' if stream else ''}", *headers, expected=expected)


GENERATE_CASES = {
    "generate: a text": generate({"text_input": "a question"}),
    "generate: an id and parameters": generate(
        {"text_input": "a", "id": "1", "stream": False, "parameters": {"top": 0.5}}
    ),
    "generate: an input among the parameters": generate({"parameters": {"text_input": "a"}}),
    "generate: two rows": generate({"text_input": ["a", "ä😀"]}),
    "generate: a version": post({"x": [1, 2]}, "/v2/models/double/versions/1.2/generate"),
    "generate: numbers": generate({"x": [1, 2]}, "double"),
    "generate: nested numbers": generate({"x": [[1, 2], [3, 4], [5, 6]]}, "double"),
    "generate: several inputs": generate({"a": 1.5, "b": 2}, "pair"),
    "generate: not finite": generate(b'{"x": [NaN, -Infinity]}', "double"),
    "generate: no elements": generate({"x": []}, "double"),
    "generate: gzip": generate(gzip.compress(b'{"text_input": "a"}'), "echo", "content-encoding: gzip"),
    "generate: gzip accepted": generate({"text_input": "a" * 5000}, "echo", "accept-encoding: gzip"),
    "generate: a stream": generate({"text_input": "a question"}, stream=True),
    "generate: a stream of numbers": generate({"x": [1, 2, 3, 4], "id": "1"}, "double", stream=True),
    "generate: a stream, gzip accepted": generate(
        {"text_input": "a" * 5000}, "echo", "accept-encoding: gzip", stream=True
    ),
    "generate: a stream of an unknown model": generate({"text_input": "a"}, "none", stream=True, expected=404),
    "generate: a stream of nothing": generate(b"", stream=True, expected=400),
    "generate: a stream that the model refuses": generate({"x": 1000}, "pick", stream=True, expected=400),
    "generate: no time": generate({"text_input": "a", "timeout": 1}, expected=504),
    "generate: elements that do not fill the shape": generate({"x": [1, 2, 3]}, "double", expected=400),
    "generate: another nesting": generate({"x": [[1], [2]]}, "double", expected=400),
    "generate: a missing input": generate({"text": "a"}, expected=400),
    "generate: a number for a text": generate({"text_input": 5}, expected=400),
    "generate: a bool for a number": generate({"x": [True, 2]}, "double", expected=400),
    "generate: a list that is no input": generate({"text_input": "a", "stop": ["b"]}, expected=400),
    "generate: bytes after the document": generate(b'{"text_input": "a"} x', expected=400),
    "generate: GET": Case((request(b"", "/v2/models/echo/generate", method="GET"),), ("GET",), expected=405),
}
