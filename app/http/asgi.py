"""The ASGI entry: sees every path. Inference and preflights are answered here, all else goes to FastAPI."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import DeadlineExceeded
from app.http.cors import preflight
from app.http.head import KnownHeads, fields_of, read_head
from app.http.inference import Call
from app.http.inference_routes import Targets
from app.http.response import Response
from app.lifespan import Service


class Entry:
    """The ASGI application of one service."""

    def __init__(self, service: Service, api: ASGIApp) -> None:
        self.service = service
        self.targets = Targets()
        self.known_heads = KnownHeads()
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST":
            target = self.targets.match(scope["raw_path"])
            if target is not None:
                response: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
                head = read_head(scope["headers"])
                call = Call(self.service, target, head, lambda call: _resolve(response, call.response))
                if call.admit():
                    await _read_body(call, receive)
                await _send(await _answer(call, response, receive), send)
                return
        request_id = _request_id(scope, self.service)
        if scope["method"] == "OPTIONS" and self.service.settings.cors:
            await _send(preflight(scope["headers"], request_id), send)
        else:
            in_time = _in_time(receive, self.service.settings.deadline_ms / 1000)
            await self._api(_as_get(scope), in_time, _with_request_id(request_id, send))


def _resolve(future: "asyncio.Future[Response]", response: Response | None) -> None:
    if response is not None and not future.done():
        future.set_result(response)


async def _read_body(call: Call, receive: Receive) -> None:
    try:
        async with asyncio.timeout(call.remaining_seconds()):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return call.cancel()
                if not call.feed(message.get("body", b"")):
                    return None
                if not message.get("more_body", False):
                    return call.finish()
    except TimeoutError:
        call.time_out()


async def _answer(call: Call, response: "asyncio.Future[Response]", receive: Receive) -> Response:
    """The response, or what the log gets when the client goes away first."""
    watching = asyncio.create_task(_cancel_when_gone(call, receive))
    try:
        return await response
    finally:
        watching.cancel()


async def _cancel_when_gone(call: Call, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    call.cancel()


async def _send(response: Response, send: Send) -> None:
    headers = [tuple(line.split(b": ", 1)) for line in response.head.split(b"\r\n") if line]
    if response.close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


def _request_id(scope: Scope, service: Service) -> bytes:
    return service.request_id(fields_of(scope["headers"]).get(b"x-request-id"))


def _as_get(scope: Scope) -> Scope:
    """HEAD as GET: the server leaves the body away. TensorFlow Serving knows no HEAD, so nothing below `/v1/` does."""
    is_head = scope["method"] == "HEAD" and not scope["raw_path"].lower().startswith(b"/v1/")
    return {**scope, "method": "GET"} if is_head else scope


def _in_time(receive: Receive, seconds: float) -> Receive:
    """Give the framework no body that comes later. It has no time limit of its own."""
    end = asyncio.get_running_loop().time() + seconds

    async def receive_in_time() -> Message:
        try:
            async with asyncio.timeout_at(end):
                return await receive()
        except TimeoutError:
            raise DeadlineExceeded(f"the body did not arrive within {seconds:g} s: allow more (deadline_ms)") from None

    return receive_in_time


def _with_request_id(request_id: bytes, send: Send) -> Send:
    """Give the framework's answers the request id that inference answers carry."""

    async def send_with_id(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id)]
        await send(message)

    return send_with_id
