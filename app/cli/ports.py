"""The sockets of a server: of one that has its port alone, and of several processes that share one."""

import socket

from app.settings import SettingsError

_BACKLOG = 2048


def listen(host: str, port: int) -> socket.socket:
    """Take the port for one process. Raises SettingsError."""
    try:
        return socket.create_server((host, port), family=_family(host), backlog=_BACKLOG)
    except OSError as error:
        raise _taken(host, port, error) from None


def reserve(host: str, port: int) -> socket.socket:
    """Take the port for processes that `share` it. Raises SettingsError where somebody else has it.

    It never listens, so no connection comes to it. It is bound as if it were to be alone, and lets others in only then:
    bound with SO_REUSEPORT, it would go unnoticed beside a foreign server of the same user that has that set too.
    """
    reserved = _bound(host, port)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)  # else another that reserves it could
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return reserved


def share(host: str, port: int) -> socket.socket:
    """A socket at a port that the supervisor has reserved. It gets its part of the connections once it listens."""
    return _bound(host, port, socket.SO_REUSEPORT)


def _bound(host: str, port: int, *options: int) -> socket.socket:
    bound = socket.socket(_family(host))
    try:
        for option in (socket.SO_REUSEADDR, *options):
            bound.setsockopt(socket.SOL_SOCKET, option, 1)
        if bound.family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # as create_server has it
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise _taken(host, port, error) from None
    return bound


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _taken(host: str, port: int, error: OSError) -> SettingsError:
    return SettingsError(
        f"cannot listen on {host} port {port}: {error.strerror}; choose another --host or --port, "
        "or another --metrics-port if that is it"
    )
