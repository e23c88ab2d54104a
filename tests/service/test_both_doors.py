"""The fast door and the ASGI door answer every request with the same bytes."""

import pytest

from tests.service.door_cases import CASES, Case
from tests.service.generate_cases import GENERATE_CASES
from tests.service.infer_cases import INFER_CASES
from tests.service.packed_cases import PACKED_CASES
from tests.service.process import Octet
from tests.service.wire import masked, request

ALL = CASES | INFER_CASES | GENERATE_CASES | PACKED_CASES
# Tells whether the connection goes on, and ends it.
_PROBE = request(b"", "/healthz/live", "connection: close", method="GET")


def transcript(octet: Octet, case: Case) -> tuple[int, bytes]:
    """The status of the last answer; all that the server sends, to whether it takes another request after the case."""
    with octet.connect() as wire:
        wire.send(*case.pieces)
        answers = [wire.answer(method) for method in case.methods]
        sent = b"".join(answer.head + answer.body for answer in answers)
        if not case.is_whole:
            return answers[-1].status, masked(sent)
        try:
            wire.send(_PROBE)
        except ConnectionError:
            return answers[-1].status, masked(sent)
        return answers[-1].status, masked(sent + wire.rest())


@pytest.mark.parametrize("name", ALL)
def test_both_doors_send_the_same_bytes(name: str, server: Octet, asgi_server: Octet) -> None:
    """Sent three times to the fast door, which remembers heads that it has seen."""
    case = ALL[name]
    expected = transcript(asgi_server, case)
    assert expected[0] == case.expected, expected[1]
    for _ in range(3):
        assert transcript(server, case) == expected


def test_the_doors_are_the_two_doors(server: Octet, asgi_server: Octet) -> None:
    """What is no HTTP is answered by the protocol itself, in its own words."""
    for octet, words in ((server, b'{"error":"this is not'), (asgi_server, b"Invalid HTTP request received.")):
        with octet.connect() as wire:
            assert words in wire.send(b"\0\r\n\r\n").rest()
