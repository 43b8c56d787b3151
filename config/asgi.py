"""The web process: the gate and Django for HTTP, the live sockets for WebSocket. Served by granian (asginl)."""

import os
from typing import Any

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import re_path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django_application = get_asgi_application()

from django.conf import settings  # noqa: E402 - what follows needs the apps loaded

from imports.api.gate import Gate  # noqa: E402
from imports.routing import websocket_urlpatterns  # noqa: E402


async def _closed(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """A socket at an address that nobody knows: refused, without a line in the log."""
    await send({"type": "websocket.close"})


application = ProtocolTypeRouter(
    {
        "http": Gate(
            django_application,
            idle_seconds=settings.BODY_IDLE_SECONDS,
            body_memory_mb=settings.WEB_BODY_MEMORY_MB,
        ),
        "websocket": URLRouter(
            [
                *websocket_urlpatterns,
                re_path("", _closed),  # type: ignore[arg-type]  # ASGI, as Channels routes it
            ]
        ),
    }
)
