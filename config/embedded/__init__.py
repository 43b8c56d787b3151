"""The embedded default: a real PostgreSQL and a real Valkey out of Python wheels, as our own children.

Plain Python without Django, so that the settings may ask for the addresses. Importing it starts nothing.
"""

from config.embedded.layout import EmbeddedError, Layout
from config.embedded.servers import (
    Addresses,
    EmbeddedServers,
    addresses,
    data_dir,
    is_running,
    prepare,
    require_running,
)

__all__ = [
    "Addresses",
    "EmbeddedError",
    "EmbeddedServers",
    "Layout",
    "addresses",
    "data_dir",
    "is_running",
    "prepare",
    "require_running",
]
