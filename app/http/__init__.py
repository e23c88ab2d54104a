"""The doors: ASGI entry, fast protocol, routes."""
