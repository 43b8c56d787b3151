"""The WebSocket addresses of this app, for config/asgi.py."""

from channels.auth import AuthMiddlewareStack
from django.urls import path

from imports.consumers import ImportSocket

# Any string is an id here: a malformed one gets a close code, where no route at all would be an HTTP error.
websocket_urlpatterns = [path("ws/imports/<str:job_id>", AuthMiddlewareStack(ImportSocket.as_asgi()))]
