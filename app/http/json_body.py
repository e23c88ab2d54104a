"""JSON bodies of the paths that the framework routes: bounded while they arrive, whatever their Content-Type says."""

from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from app.errors import BodyTooLarge, Cancelled, Malformed
from app.protocols.json_exact import parse_whole

T = TypeVar("T", bound=BaseModel)

_A_FEW_WORDS_BYTES = 65_536


async def json_object(request: Request) -> dict[str, Any]:
    """The object that the body holds, `{}` where it is empty. tritonclient sends no Content-Type.

    Raises Malformed, BodyTooLarge, DeadlineExceeded, and Cancelled where the client went away.
    """
    pieces: list[bytes] = []
    size_bytes = 0
    try:
        async for piece in request.stream():
            size_bytes += len(piece)
            if size_bytes > _A_FEW_WORDS_BYTES:
                raise BodyTooLarge(
                    f"the body is over {_A_FEW_WORDS_BYTES} bytes: nothing that is asked here takes so many"
                )
            pieces.append(piece)
    except ClientDisconnect:
        raise Cancelled("the client closed the connection before its request was complete") from None
    document = parse_whole(b"".join(pieces)) if size_bytes else {}
    if not isinstance(document, dict):
        raise Malformed("the body must be a JSON object")
    return document


async def json_as(kind: type[T], request: Request) -> T:
    """The body as a pydantic model says it. Raises RequestValidationError, and as `json_object`."""
    document = await json_object(request)
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from None
