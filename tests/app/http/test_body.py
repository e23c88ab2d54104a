"""Unpacking of bodies that strangers packed, and packing of answers as they wish."""

import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import BodyTooLarge, Malformed, UnsupportedEncoding
from app.http.body import ENCODINGS, encoding_for, pack, unpack, window_for

GZIP, DEFLATE = ENCODINGS[b"gzip"], ENCODINGS[b"deflate"]
PACKERS = {GZIP: gzip.compress, DEFLATE: zlib.compress}
MEGABYTE = 1 << 20

windows = st.sampled_from(sorted(PACKERS))
bodies = st.binary(max_size=2000) | st.integers(0, 100_000).map(bytes)


@pytest.mark.parametrize("name", [b"", b"identity", b" Identity "])
def test_nothing_is_unpacked_without_need(name: bytes) -> None:
    assert window_for(name) is None


@pytest.mark.parametrize(("name", "window"), [(b"gzip", GZIP), (b"GZip", GZIP), (b"deflate", DEFLATE)])
def test_encodings_have_no_case(name: bytes, window: int) -> None:
    assert window_for(name) == window


@pytest.mark.parametrize("name", [b"br", b"zstd", b"gzip, gzip", b"x-gzip", b"\xff"])
def test_other_encodings_are_refused_by_name(name: bytes) -> None:
    with pytest.raises(UnsupportedEncoding) as caught:
        window_for(name)
    assert str(caught.value) == (
        f"Content-Encoding '{name.decode('latin-1')}' is not supported: send gzip, deflate or identity"
    )


@given(st.lists(bodies, min_size=1, max_size=16), st.integers(0, 100))
def test_gzip_may_be_several_one_after_the_other(parts: list[bytes], room: int) -> None:
    """Up to sixteen."""
    packed, body = b"".join(map(gzip.compress, parts)), b"".join(parts)
    assert unpack(packed, GZIP, len(body) + room) == body
    if body:
        with pytest.raises(BodyTooLarge, match=f"unpacks to more than {len(body) - 1} bytes"):
            unpack(packed, GZIP, len(body) - 1)
    with pytest.raises(Malformed, match="the body is not what its Content-Encoding says"):
        unpack(packed[:-1], GZIP, len(body) + room)


def test_neither_more_of_gzip_nor_several_of_deflate_are_read() -> None:
    for body, window in ((17 * gzip.compress(b"a"), GZIP), (2 * zlib.compress(b"a"), DEFLATE)):
        with pytest.raises(Malformed, match="bytes follow its end"):
            unpack(body, window, 100)


@given(windows, bodies, st.integers(0, 100))
def test_what_was_packed_comes_out_up_to_the_limit(window: int, body: bytes, room: int) -> None:
    packed = PACKERS[window](body)
    assert unpack(packed, window, len(body) + room) == body
    if body:
        with pytest.raises(BodyTooLarge, match=f"unpacks to more than {len(body) - 1} bytes"):
            unpack(packed, window, len(body) - 1)


@given(windows, bodies, st.data())
def test_what_is_cut_off_is_refused(window: int, body: bytes, data: st.DataObject) -> None:
    packed = PACKERS[window](body)
    cut = packed[: data.draw(st.integers(0, len(packed) - 1))]
    with pytest.raises(Malformed, match="the body is not what its Content-Encoding says"):
        unpack(cut, window, len(body) + 1)


@given(windows, bodies, st.binary(min_size=1, max_size=20).filter(lambda rest: rest[:2] != b"\x1f\x8b"))
def test_bytes_behind_the_end_are_refused(window: int, body: bytes, rest: bytes) -> None:
    with pytest.raises(Malformed, match="bytes follow its end"):
        unpack(PACKERS[window](body) + rest, window, len(body) + 1)


@given(windows, st.binary(max_size=200))
def test_any_bytes_are_unpacked_or_refused(window: int, body: bytes) -> None:
    try:
        unpacked = unpack(body, window, 1000)
    except (Malformed, BodyTooLarge):
        return
    assert zlib.decompress(body, window) == unpacked


@given(windows, st.binary(min_size=1, max_size=500), st.data())
def test_a_damaged_body_is_never_taken_for_another(window: int, body: bytes, data: st.DataObject) -> None:
    packed = bytearray(PACKERS[window](body))
    packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        unpacked = unpack(bytes(packed), window, 10_000)
    except Malformed:
        return
    assert unpacked == body, "only what the check sum does not cover, such as gzip's time, may differ"


def test_raw_deflate_and_the_other_encoding_are_refused() -> None:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    raw = packer.compress(b"body") + packer.flush()
    for body, window in (
        (raw, DEFLATE),
        (raw, GZIP),
        (gzip.compress(b"body"), DEFLATE),
        (zlib.compress(b"body"), GZIP),
    ):
        with pytest.raises(Malformed, match="the body is not what its Content-Encoding says"):
            unpack(body, window, 100)


@pytest.mark.parametrize("window", sorted(PACKERS))
def test_a_bomb_costs_no_more_than_the_limit(window: int) -> None:
    bomb = PACKERS[window](bytes(256 * MEGABYTE))
    assert len(bomb) < MEGABYTE
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLarge):
            unpack(bomb, window, MEGABYTE)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 4 * MEGABYTE


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        (b"gzip", b"gzip"),
        (b"deflate", b"deflate"),
        (b"GZip", b"gzip"),
        (b"gzip, deflate", b"gzip"),
        (b"deflate,gzip", b"deflate"),
        (b"gzip, deflate, br", b"gzip"),
        (b"br;q=1.0, zstd, deflate;q=0.1", b"deflate"),
        (b"gzip;q=0.5, deflate", b"deflate"),
        (b"gzip;q=0.5,deflate;q=0.5", b"gzip"),
        (b"gzip;q=0.2 , deflate ; Q=0.3", b"deflate"),
        (b"gzip;q=0.001", b"gzip"),
        (b"gzip;x=y;q=0.2, deflate;q=0.1", b"gzip"),
        (b"gzip, identity", b"gzip"),
        (b"identity;q=0.5, gzip;q=0.6", b"gzip"),
        (b"identity;q=0, gzip;q=0.1", b"gzip"),
        (b"*;q=0, gzip", b"gzip"),
        (b"gzip;q=high, deflate", b"deflate"),
        (b",;,gzip,", b"gzip"),
    ],
)
def test_an_answer_is_packed_as_its_client_prefers(accepted: bytes, encoding: bytes) -> None:
    assert encoding_for(accepted) == encoding


@pytest.mark.parametrize(
    "accepted",
    [
        b"", b" ", b",", b";", b"q=1", b"identity", b"identity, gzip", b"identity;q=0.5, gzip;q=0.4", b"br",
        b"zstd, br", b"*", b"*;q=1", b"gzip;q=0", b"gzip;q=0.0", b"gzip;q=-1", b"gzip;q=nan", b"gzip;q=", b"gzip;q=1/2",
        b"x-gzip", b"gzip deflate", b"\xff", b"gzip\xff", b"a," * 600 + b"gzip",
    ],
)  # fmt: skip
def test_an_answer_is_not_packed_where_nobody_asks_for_what_is_spoken_here(accepted: bytes) -> None:
    assert encoding_for(accepted) is None


@given(st.binary(max_size=60) | st.text(alphabet="gzip,deflat*;q=0.1 ", max_size=40).map(str.encode))
def test_any_wish_is_understood_or_left_alone(accepted: bytes) -> None:
    assert encoding_for(accepted) in (None, *ENCODINGS)


@given(st.sampled_from(sorted(ENCODINGS)), bodies)
def test_what_is_packed_unpacks_to_the_same(encoding: bytes, body: bytes) -> None:
    packed = pack(body, encoding)
    assert {b"gzip": gzip.decompress, b"deflate": zlib.decompress}[encoding](packed) == body
    assert unpack(packed, ENCODINGS[encoding], len(body) + 1) == body
