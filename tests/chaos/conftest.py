"""The cast and the queue of the imports' own tests."""

from tests.imports.conftest import empty_queue, owner, small_batches

__all__ = ["empty_queue", "owner", "small_batches"]
