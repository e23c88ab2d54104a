"""What the headers of an inference request are taken to say."""

import pytest

from app.errors import Malformed, UnsupportedEncoding
from app.http.head import Head, read_head


def test_a_plain_head() -> None:
    head = read_head([(b"content-length", b"12"), (b"x-request-id", b"a"), (b"x-request-timeout-ms", b"1500.5")])
    assert (head.length_bytes, head.request_id, head.timeout_seconds, head.fault) == (12, b"a", 1.5005, None)


@pytest.mark.parametrize("time", [b"", b"0", b"-1", b"1_0", b"inf", b"nan", b"1e3", b"soon", b"5, 5"])
def test_a_time_is_a_plain_number_above_0(time: bytes) -> None:
    assert isinstance(read_head([(b"x-request-timeout-ms", time)]).fault, Malformed)


def test_blanks_around_a_value_are_no_part_of_it() -> None:
    head = read_head(
        [
            (b"x-request-timeout-ms", b"1500 \t"),
            (b"inference-header-content-length", b"5 "),
            (b"content-length", b"12 "),
            (b"content-encoding", b"gzip "),
        ]
    )
    assert (head.timeout_seconds, head.json_bytes, head.length_bytes, head.window) == (1.5, 5, 12, 31)
    assert read_head([(b"transfer-encoding", b"chunked ")]).fault is None


def test_a_header_that_comes_several_times_is_one_list() -> None:
    """Whatever stands between its parts."""

    def twice(name: bytes, first: bytes, second: bytes) -> Head:
        return read_head([(name, first), (b"host", b"test"), (name, second)])

    assert twice(b"accept-encoding", b"br", b"gzip").encoding == b"gzip"
    assert twice(b"accept-encoding", b"gzip", b"br").encoding == b"gzip"
    assert twice(b"accept-encoding", b"gzip;q=0.1", b"deflate").encoding == b"deflate"
    for codings in ((b"gzip", b"identity"), (b"identity", b"gzip"), (b"gzip", b"gzip")):
        assert isinstance(twice(b"content-encoding", *codings).fault, UnsupportedEncoding)
    assert isinstance(twice(b"transfer-encoding", b"gzip", b"chunked").fault, UnsupportedEncoding)
    assert isinstance(twice(b"x-request-timeout-ms", b"5", b"9000").fault, Malformed)
    assert isinstance(twice(b"inference-header-content-length", b"5", b"5").fault, Malformed)
    assert twice(b"x-request-id", b"a", b"b").request_id == b"a, b", "which is no id"


def test_a_body_comes_in_chunks_and_in_no_other_transfer_encoding() -> None:
    assert read_head([(b"transfer-encoding", b"Chunked")]).fault is None
    assert isinstance(read_head([(b"transfer-encoding", b"gzip, chunked")]).fault, UnsupportedEncoding)
