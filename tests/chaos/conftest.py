"""The cast and the queue of the imports' own tests."""

from tests.imports.conftest import empty_queue, notes_closed, owner, small_batches

__all__ = ["empty_queue", "notes_closed", "owner", "small_batches"]
