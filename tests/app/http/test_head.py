"""What the headers of an inference request are taken to say."""

import pytest

from app.errors import Malformed, UnsupportedEncoding
from app.http.head import read_head


def test_a_plain_head() -> None:
    head = read_head([(b"content-length", b"12"), (b"x-request-id", b"a"), (b"x-request-timeout-ms", b"1500.5")])
    assert (head.length_bytes, head.request_id, head.timeout_seconds, head.fault) == (12, b"a", 1.5005, None)


@pytest.mark.parametrize("time", [b"", b"0", b"-1", b"1_0", b"inf", b"nan", b"1e3", b"soon", b" 5"])
def test_a_time_is_a_plain_number_above_0(time: bytes) -> None:
    assert isinstance(read_head([(b"x-request-timeout-ms", time)]).fault, Malformed)


def test_a_body_comes_in_chunks_and_in_no_other_transfer_encoding() -> None:
    assert read_head([(b"transfer-encoding", b"Chunked")]).fault is None
    assert isinstance(read_head([(b"transfer-encoding", b"gzip, chunked")]).fault, UnsupportedEncoding)
