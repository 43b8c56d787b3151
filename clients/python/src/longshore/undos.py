"""Follow an undo to its end, by asking: it has no socket."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from longshore.shapes import Undo

if TYPE_CHECKING:
    from longshore.client import Client

POLL_SECONDS = 0.5


def follow_undo(client: "Client", undo: Undo, *, sleep: Callable[[float], None] = time.sleep) -> Undo:
    """Returns when it is done or has failed."""
    while undo["state"] == "running":
        sleep(POLL_SECONDS)
        undo = client.undo_state(undo["jobId"])
    return undo
