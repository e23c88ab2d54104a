"""V2's infer requests for both doors, beside those of `door_cases`."""

import gzip
import json
import struct
import zlib
from typing import Any

from tests.service.door_cases import Case, named
from tests.service.wire import chunked, request

INFER = "/v2/models/double/infer"
PAIR = "/v2/models/pair/infer"
LENGTH = "inference-header-content-length"
TENSOR = {"name": "x", "shape": [2, 2], "datatype": "FP32"}
VALUES = [1, 2, 3.5, -4]
ROWS = {"inputs": [{**TENSOR, "data": VALUES}]}
RAW = struct.pack("<4f", *VALUES)
BINARY_OUT = {"parameters": {"binary_data_output": True}}
WIDE = {"inputs": [{"name": "x", "shape": [200, 2], "datatype": "FP32", "data": [0.1] * 400}]}


def infer(body: object = ROWS, *headers: str, path: str = INFER, expected: int = 200) -> Case:
    return Case((request(body, path, *headers),), expected=expected)


def header(size: int = len(RAW), **members: Any) -> bytes:
    """The JSON before the raw tensor."""
    return json.dumps({"inputs": [{**TENSOR, "parameters": {"binary_data_size": size}}], **members}).encode()


def raw(text: bytes, tail: bytes = RAW, off: int = 0, expected: int = 200) -> Case:
    """`off` is how far the length of the header is from the truth."""
    return infer(text + tail, f"{LENGTH}: {len(text) + off}", expected=expected)


def scalars(name: str, datatype: str, **source: Any) -> dict[str, Any]:
    return {"name": name, "shape": [2], "datatype": datatype, **source}


A, B = scalars("a", "FP32", data=[1.5, 2]), scalars("b", "INT64", parameters={"binary_data_size": 16})
SUM = {"name": "sum", "parameters": {"binary_data": True}}
MIXED = json.dumps({"inputs": [B, A], "outputs": [SUM, {"name": "less"}]})
MEMORY = {"parameters": {"shared_memory_region": "r", "shared_memory_byte_size": 16}}

FORMS = {
    "flat": infer(),
    "nested": infer({"inputs": [{**TENSOR, "data": [[1, 2], [3.5, -4]]}]}),
    "an id": infer({"id": "mine", **ROWS}),
    "no id": infer({"id": "", **ROWS}),
    "nulls": infer({"id": None, "parameters": None, "outputs": None, **ROWS}),
    "outputs": infer({**ROWS, "outputs": [{"name": "y"}]}),
    "several inputs": infer({"inputs": [A, scalars("b", "INT64", data=[2, 1])]}, path=PAIR),
    "raw outputs": infer({**ROWS, **BINARY_OUT}),
    "classes": infer({**ROWS, "outputs": [{"name": "y", "parameters": {"classification": 1}}]}),
    "not finite": infer(json.dumps({"inputs": [{**TENSOR, "data": [float("nan"), float("-inf"), 0, 1]}]}).encode()),
    "no rows": infer({"inputs": [{**TENSOR, "shape": [0, 2], "data": []}]}),
    "more rows than a batch": infer(WIDE),
    "its length with all JSON": raw(json.dumps(ROWS).encode(), b""),
    "priority and time": infer({**ROWS, "parameters": {"priority": 1, "timeout": 9_000_000}}),
    "no time": infer({**ROWS, "parameters": {"timeout": 1}}, expected=504),
}  # fmt: skip

TENSORS = {
    "raw": raw(header()),
    "raw both ways": raw(header(**BINARY_OUT)),
    "numbers and bytes": infer(MIXED.encode() + struct.pack("<2q", 7, -7), f"{LENGTH}: {len(MIXED)}", path=PAIR),
    "nothing but bytes": infer(RAW[:8], f"{LENGTH}: 0"),
    "nothing but the wrong bytes": infer(RAW, f"{LENGTH}: 0", expected=400),
    "nothing at all": infer(b"", f"{LENGTH}: 0", expected=400),
    "bytes for two inputs": infer(RAW, f"{LENGTH}: 0", path=PAIR, expected=400),
    "cut off": raw(header(), RAW[:-1], expected=400),
    "too long": raw(header(), RAW + b"\0", expected=400),
    "another size": raw(header(12), RAW[:12], expected=400),
    "too short a header": raw(header(), off=-1, expected=400),
    "too long a header": raw(header(), off=1, expected=400),
    "a header longer than the body": raw(header(), off=17, expected=400),
    "a header of no length": infer(header() + RAW, f"{LENGTH}: soon", expected=400),
    "a header of negative length": infer(header() + RAW, f"{LENGTH}: -1", expected=400),
    "no header": infer(header() + RAW, expected=400),
    "raw without bytes": infer(header(), expected=400),
    "raw in two pieces": Case((raw(header()).pieces[0][:-5], RAW[-5:])),
    "raw in chunks": Case(
        (chunked([header()[:9], header()[9:] + RAW[:3], RAW[3:]], INFER, f"{LENGTH}: {len(header())}"),)
    ),
    "three at once": Case(
        (infer().pieces[0] + raw(header(**BINARY_OUT)).pieces[0] + infer(b"{").pieces[0],), ("POST",) * 3, expected=400
    ),
}  # fmt: skip

ENCODED = {
    "gzip": infer(gzip.compress(header() + RAW), f"{LENGTH}: {len(header())}", "content-encoding: gzip"),
    "deflate": infer(zlib.compress(header() + RAW), f"{LENGTH}: {len(header())}", "content-encoding: deflate"),
    "a packed answer": infer(WIDE, "accept-encoding: deflate"),
    "a packed raw answer": infer({**WIDE, **BINARY_OUT}, "accept-encoding: gzip, deflate, br"),
    "a short answer stays": infer(ROWS, "accept-encoding: gzip"),
    "an error stays": infer({"inputs": [{**TENSOR, "data": ["o" * 5000]}]}, "accept-encoding: gzip", expected=400),
}

PATHS = {
    "a version": infer(path="/v2/models/double/versions/1.2.3/infer"),
    "a version's prefix": infer(path="/v2/models/double/versions/1/infer"),
    "percent-encoded": infer(path="/v2/models/d%6Fuble/infer"),
    "a query": infer(path=f"{INFER}?a=b"),
    "no such model": infer(path="/v2/models/none/infer", expected=404),
    "no such version": infer(path="/v2/models/double/versions/9/infer", expected=404),
    "no version's name": infer(path="/v2/models/double/versions/stable/infer", expected=404),
    "a label": infer(path="/v2/models/double/labels/stable/infer", expected=404),
    "a slash at the end": infer(path=f"{INFER}/", expected=404),
    "GET": Case((request(path=INFER, method="GET"),), ("GET",), expected=405),
}

REFUSED = {
    "an empty body": infer(b"", expected=400),
    "no JSON": infer(b"rows!", expected=400),
    "bytes after the JSON": infer(json.dumps(ROWS).encode() + b"{}", expected=400),
    "no input": infer({"inputs": []}, expected=400),
    "an input too many": infer({"inputs": [{**TENSOR, "data": VALUES}] * 2}, expected=400),
    "a wrong datatype": infer({"inputs": [{**TENSOR, "datatype": "FP64", "data": VALUES}]}, expected=400),
    "a wrong shape": infer({"inputs": [{**TENSOR, "shape": [4], "data": VALUES}]}, expected=400),
    "ragged": infer({"inputs": [{**TENSOR, "data": [[1, 2, 3], [4]]}]}, expected=400),
    "a bool for a number": infer({"inputs": [{**TENSOR, "data": [1, 2, 3, True]}]}, expected=400),
    "an unknown output": infer({**ROWS, "outputs": [{"name": "z"}]}, expected=400),
    "unequal rows": infer({"inputs": [A, {**scalars("b", "INT64", data=[1]), "shape": [1]}]}, path=PAIR, expected=400),
    "shared memory that is off": infer({"inputs": [{**TENSOR, **MEMORY}]}, expected=501),
}  # fmt: skip

FAMILIES = named(form=FORMS, tensors=TENSORS, encoded=ENCODED, path=PATHS, refused=REFUSED)
INFER_CASES = {f"infer, {name}": case for name, case in FAMILIES.items()}
