"""config.asgi with quotas of so many calls in three seconds rather than sixty."""

from config.asgi import application
from customers import quotas

quotas.SECONDS = 3  # type: ignore[misc]

__all__ = ["application"]
