"""Requests of every kind, for both doors: good ones in every form, every error, every odd way to say it in HTTP."""

import gzip
import json
import zlib
from typing import NamedTuple

from tests.service.process import Octet
from tests.service.wire import PREDICT, Wire, chunked, request

ROWS = {"instances": [[1, 2], [3.5, -4]]}
BODY = json.dumps(ROWS).encode()
GZIPPED = gzip.compress(BODY)
# The tests' servers take bodies of 256 KiB (FLAGS in conftest.py).
LIMIT_BYTES = 262_144
WAITING = 'octet_pending_rows{model="slow"'


class Case(NamedTuple):
    """What is sent, piece by piece, and the methods of the requests in it, each of which is answered."""

    pieces: tuple[bytes, ...]
    methods: tuple[str, ...] = ("POST",)
    expected: int = 200
    """Status of the last answer."""
    is_whole: bool = True
    """Whether another request may follow on the connection; else the body is still owed."""


def post(body: object = ROWS, path: str = PREDICT, *headers: str, expected: int = 200) -> Case:
    return Case((request(body, path, *headers),), expected=expected)


def named(**families: dict[str, Case]) -> dict[str, Case]:
    """All cases in one, each under the name of its family and its own."""
    return {f"{family}: {name}": case for family, cases in families.items() for name, case in cases.items()}


def model(name: str) -> str:
    return f"/v1/models/{name}:predict"


def lasting(products: int, *headers: str) -> bytes:
    """A request that takes the longer the more matrix products: three thousand are about a second."""
    return request({"instances": [products]}, model("slow"), *headers)


def keep_busy(octet: Octet, wire: Wire, products: int = 5000) -> None:
    """Have the worker of `slow` run the first of two requests, and the second wait, where batches are of one row."""
    wire.send(lasting(products) + lasting(0))
    octet.until(WAITING, lambda rows: rows == 1)


def raw_deflate(body: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(body) + deflater.flush()


FORMS = {
    "rows": post(),
    "one row": post({"instances": [[1, 2]]}),
    "named rows": post({"instances": [{"x": [1, 2]}]}),
    "a column": post({"inputs": [[1, 2]]}),
    "a named column": post({"inputs": {"x": [[1, 2]]}}),
    "signature_name": post({"signature_name": "serving_default", **ROWS}),
    "several inputs in rows": post({"instances": [{"a": 1, "b": 2}]}, model("pair")),
    "several inputs in columns": post({"inputs": {"a": [1, 2], "b": [2, 1]}}, model("pair")),
    "no rows": post({"inputs": []}, model("pick")),
    "more rows than a batch": post({"instances": [[i, -i] for i in range(200)]}),
    "a big body": post(json.dumps({"instances": [[0.25, 0.5]] * 1000}, indent=6).encode().ljust(LIMIT_BYTES)),
    "whole numbers": post({"instances": [0, 999, 1]}, model("pick")),
    "not finite": post(b'{"instances": [[NaN, -Infinity], [Inf, -NaN]]}'),
    "a byte order mark": post(b"\xef\xbb\xbf" + BODY),
    "bytes after the document": post(BODY + b" \n"),
    "bytes after the document that are no text": post(BODY + b"\xff\0"),
}

PATHS = {
    "a version": post(ROWS, "/v1/models/double/versions/1.2.3:predict"),
    "a version's prefix": post(ROWS, "/v1/models/double/versions/1:predict"),
    "the default version": post(ROWS, "/v1/models/double/versions/0:predict"),
    "a label": post(ROWS, "/v1/models/double/labels/stable:predict"),
    "another case": post(ROWS, "/V1/Models/DOUBLE:Predict"),
    "percent-encoded": post(ROWS, "/v1/models/d%6Fubl%65:predict"),
    "percent-encoded colon": post(ROWS, "/v1/models/double%3Apredict", expected=400),
    "percent-encoded slash": post(ROWS, "/v1/models/double%2Fversions%2F1:predict", expected=404),
    "percent-encoded UTF-8": post(ROWS, "/v1/models/d%C3%B6ppel:predict", expected=404),
    "half an escape": post(ROWS, "/v1/models/double%:predict", expected=404),
    "percent-encoded line end": post(ROWS, "/v1/models/a%0D%0Ab:predict", expected=404),
    "a query": post(ROWS, f"{PREDICT}?a=b&c"),
    "an empty query": post(ROWS, f"{PREDICT}?"),
    "a fragment": post(ROWS, f"{PREDICT}#part"),
    "a fragment in the name": post(ROWS, "/v1/models/dou#ble:predict", expected=400),
    "the absolute form": post(ROWS, f"http://elsewhere{PREDICT}"),
    "a long name": post(ROWS, model("d" * 3000), expected=404),
    "no such model": post(ROWS, model("none"), expected=404),
    "no such version": post(ROWS, "/v1/models/double/versions/9:predict", expected=404),
    "no version": post(ROWS, "/v1/models/double/versions/latest:predict", expected=400),
    "a version of too many digits": post(ROWS, f"/v1/models/double/versions/{2**63}:predict", expected=400),
    "no such label": post(ROWS, "/v1/models/double/labels/none:predict", expected=400),
    "regress": post(ROWS, "/v1/models/double:regress", expected=501),
    "explain": post(ROWS, "/v1/models/double:explain", expected=501),
    "no such verb": post(ROWS, "/v1/models/double:guess", expected=400),
    "a slash at the end": post(ROWS, f"{PREDICT}/", expected=400),
    "two slashes": post(ROWS, f"/{PREDICT}", expected=404),
    "elsewhere": post(ROWS, "/v3/models/double/infer", expected=404),
}

REFUSED = {
    "an empty body": post(b"", expected=400),
    "no JSON": post(b"rows!", expected=400),
    "no object": post([1], expected=400),
    "no rows key": post({}, expected=400),
    "both keys": post({"instances": [[1, 2]], "inputs": [[1, 2]]}, expected=400),
    "a wrong width": post({"instances": [[1, 2, 3]]}, expected=400),
    "ragged": post({"instances": [[1, 2], [3]]}, expected=400),
    "a wrong type": post({"instances": [["one", "two"]]}, expected=400),
    "an unknown input": post({"instances": [{"z": [1, 2]}]}, expected=400),
    "an unknown signature": post({"signature_name": "other", **ROWS}, expected=400),
    "a fraction for a whole number": post({"instances": [1.5]}, model("pick"), expected=400),
    "half a surrogate pair": post(b'{"instances": [["\\ud800", 1]]}', expected=400),
    "broken UTF-8": post(b'{"instances": [["\xff", 1]]}', expected=400),
    "unequal columns": post({"inputs": {"a": [1, 2], "b": [1]}}, model("pair"), expected=400),
    "refused by the model": post({"instances": [1000]}, model("pick"), expected=400),
    "more rows than the queue": post({"instances": [0] * 1025}, model("pick"), expected=413),
    "a body over the limit": post(BODY.ljust(LIMIT_BYTES + 1), expected=413),
    "chunks over the limit": Case((chunked([BODY, b" " * 150_000, b" " * 150_000]),), expected=413),
    "a body over the limit that never comes": Case((request(b"", length=10**9),), expected=413, is_whole=False),
    "no JSON for an unknown model": post(b"rows!", model("none"), expected=400),
    "no body for an unknown model": post(b"", model("none"), expected=400),
    "no object for an unknown model": post([1], model("none"), expected=400),
    "no name of a signature for an unknown model": post({"signature_name": 5}, model("none"), expected=400),
    "an unknown signature of an unknown model": post({"signature_name": "a"}, model("none"), expected=404),
    "no JSON for an unknown version": post(b"rows!", "/v1/models/double/versions/9:predict", expected=400),
    "no JSON for an unknown label": post(b"rows!", "/v1/models/double/labels/none:predict", expected=400),
    "no JSON for an unknown model, packed": post(b"x", model("none"), "content-encoding: gzip", expected=404),
    "no JSON for an unknown model, in chunks": Case((chunked([b"rows!"], model("none")),), expected=404),
    "no JSON for an unknown model, large": post(b"x" * 65_537, model("none"), expected=404),
    "an unknown model whose body never comes": Case(
        (request(b"", model("none"), length=65_537),), expected=404, is_whole=False
    ),
}

HEADERS = {
    "a form's Content-Type": post(ROWS, PREDICT, "content-type: application/x-www-form-urlencoded"),
    "names in any case": post(ROWS, PREDICT, "X-REQUEST-ID: mine", "X-Request-Timeout-MS: 9000"),
    "an odd header": post(ROWS, PREDICT, "x-odd: \xe4\t;\xff", "x-empty:", "x-odd: twice"),
    "a cookie of 20 KB": post(ROWS, PREDICT, f"cookie: {'c' * 20_000}"),
    "no time": post(ROWS, PREDICT, "x-request-timeout-ms: 0", expected=400),
    "a time that is no number": post(ROWS, PREDICT, "x-request-timeout-ms: soon\xfc", expected=400),
    "an endless time": post(ROWS, PREDICT, "x-request-timeout-ms: inf", expected=400),
    "not a time": post(ROWS, PREDICT, "x-request-timeout-ms: nan", expected=400),
    "twice a time": post(ROWS, PREDICT, "x-request-timeout-ms: 900", "x-request-timeout-ms: 9000", expected=400),
    "a time and a blank": post(ROWS, PREDICT, "x-request-timeout-ms: 9000 "),
    "twice an id": post(ROWS, PREDICT, "x-request-id: one", "x-request-id: two"),
    "gzip": post(GZIPPED, PREDICT, "content-encoding: gzip"),
    "GZIP": post(GZIPPED, PREDICT, "Content-Encoding:  GZIP "),
    "gzip in chunks": Case((chunked([GZIPPED[:20], GZIPPED[20:]], PREDICT, "content-encoding: gzip"),)),
    "deflate": post(zlib.compress(BODY), PREDICT, "content-encoding: deflate"),
    "deflate without its frame": post(raw_deflate(BODY), PREDICT, "content-encoding: deflate", expected=400),
    "identity": post(ROWS, PREDICT, "content-encoding: identity"),
    "an encoding that is not spoken": post(ROWS, PREDICT, "content-encoding: br", expected=415),
    "two encodings": post(ROWS, PREDICT, "content-encoding: gzip, gzip", expected=415),
    "twice an encoding": post(GZIPPED, PREDICT, "content-encoding: gzip", "content-encoding: gzip", expected=415),
    "gzip in two members": post(gzip.compress(BODY[:9]) + gzip.compress(BODY[9:]), PREDICT, "content-encoding: gzip"),
    "not gzip": post(ROWS, PREDICT, "content-encoding: gzip", expected=400),
    "half of gzip": post(GZIPPED[:-5], PREDICT, "content-encoding: gzip", expected=400),
    "bytes after gzip": post(GZIPPED + b"x", PREDICT, "content-encoding: gzip", expected=400),
    "a bomb": post(gzip.compress(bytes(LIMIT_BYTES + 1)), PREDICT, "content-encoding: gzip", expected=413),
}  # fmt: skip

WAYS = {
    "head and body apart": Case((request(b"", length=len(BODY)), BODY)),
    "no JSON for an unknown model": Case((request(b"", model("none"), length=5), b"row", b"s!"), expected=400),
    "rows for an unknown model": Case((request(b"", model("none"), length=len(BODY)), BODY), expected=404),
    "rows for an unknown model that never come": Case(
        (request(b"", model("none"), "x-request-timeout-ms: 50", length=5),), expected=504, is_whole=False
    ),
    "in three pieces": Case((request(ROWS)[:30], request(ROWS)[30:-9], request(ROWS)[-9:])),
    "byte by byte": Case(tuple(bytes([byte]) for byte in request(ROWS))),
    "chunks": Case((chunked([BODY[:1], BODY[1:20], BODY[20:]]),)),
    "chunks byte by byte": Case(tuple(bytes([byte]) for byte in chunked([BODY[:7], BODY[7:]]))),
    "no chunks": Case((chunked([]),), expected=400),
    "neither length nor chunks": Case((request(b"", length=-1),), expected=400),
    "chunks with a trailer": Case((chunked([BODY])[:-2] + b"x-trailer: 1\r\n\r\n",)),
    "Expect": Case((request(ROWS, PREDICT, "expect: 100-continue"),), ("POST", "POST")),
    "Expect, too large": Case(
        (request(b"", PREDICT, "expect: 100-continue", length=10**9),), expected=413, is_whole=False
    ),
    "line ends before the request": Case((b"\r\n\r\n" + request(ROWS),)),
    "HTTP/1.0": Case((request(ROWS, version="1.0"),)),
    "HTTP/1.0 that would stay": Case((request(ROWS, PREDICT, "connection: keep-alive", version="1.0"),)),
    "Connection: close": post(ROWS, PREDICT, "connection: close"),
    "Connection: close and an error": post(b"", PREDICT, "connection: close", expected=400),
    "Connection: keep-alive": post(ROWS, PREDICT, "connection: keep-alive"),
    "GET": Case((request(method="GET"),), ("GET",), expected=400),
    "HEAD": Case((request(method="HEAD"),), ("HEAD",), expected=400),
    "PUT": Case((request(method="PUT"),), ("PUT",), expected=400),
    "OPTIONS": Case((request(method="OPTIONS"),), ("OPTIONS",), expected=400),
    "three at once": Case((request(ROWS) + request(b"{") + request({"instances": [[7, 8]]}),), ("POST",) * 3),
    "unknown models at once": Case(
        (request(ROWS, model("none")) + request(b"{", model("none")) + request(ROWS),), ("POST",) * 3
    ),
    "mixed at once": Case(
        (request(ROWS) + request(b"", "/healthz/live", method="GET") + request(b"", model("none")) + request(ROWS),),
        ("POST", "GET", "POST", "POST"),
    ),
}  # fmt: skip

CASES = named(form=FORMS, path=PATHS, refused=REFUSED, header=HEADERS, way=WAYS)
