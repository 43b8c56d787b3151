"""The probe with a wait for room that a test can outlast."""

from tests.imports.api.probe_app import application  # isort: split

from imports.api import body_memory

body_memory.WAIT_SECONDS = 2.0  # type: ignore[misc]

__all__ = ["application"]
