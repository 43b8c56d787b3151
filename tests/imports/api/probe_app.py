"""config.asgi over the probe's URLs, for a granian of its own."""

from django.conf import settings

settings.ROOT_URLCONF = "tests.imports.api.probe_urls"

from config.asgi import application  # noqa: E402

__all__ = ["application"]
