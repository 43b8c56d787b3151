"""Follow a redrive to its end, by asking: it takes seconds, and has no socket."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from longshore.shapes import Redrive

if TYPE_CHECKING:
    from longshore.client import Client

POLL_SECONDS = 0.5


def follow_redrive(client: "Client", redrive: Redrive, *, sleep: Callable[[float], None] = time.sleep) -> Redrive:
    """Returns when it no longer runs; a paused one ends it too, since nothing more comes by itself."""
    while redrive["state"] == "running":
        sleep(POLL_SECONDS)
        redrive = client.redrive(redrive["redriveId"])
    return redrive
