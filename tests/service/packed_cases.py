"""Requests of clients that accept packed answers, for both doors, beside those of `door_cases`."""

from tests.service.door_cases import ROWS, Case, post
from tests.service.wire import PREDICT, request

GZIP = "accept-encoding: gzip"
MANY = {"instances": [[i, -i] for i in range(200)]}
# Told by their names: an error of more than a kilobyte.
ODD_INPUTS = {"instances": [{str(i) * 45: 1 for i in range(10, 30)}]}
PACKED_CASES = {
    f"packed for: {accepted}": post(MANY, PREDICT, f"accept-encoding: {accepted}")
    for accepted in ("", "gzip", "deflate", "GZIP;q=0.1, deflate ; q=0.2", "identity, gzip", "br", "*", "gzip;q=0")
} | {
    "packed: for two headers": post(MANY, PREDICT, GZIP, "accept-encoding: br"),
    "packed: of a small answer": post(ROWS, PREDICT, GZIP),
    "packed: of an error": post(ODD_INPUTS, PREDICT, GZIP, expected=400),
    "packed: of a page": Case((request(b"", "/openapi.json", GZIP, method="GET"),), ("GET",)),
    "packed: of three at once": Case((3 * request(MANY, PREDICT, GZIP) + request(ROWS),), ("POST",) * 4),
}  # fmt: skip
