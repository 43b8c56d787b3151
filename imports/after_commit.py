"""What follows a commit: ringing and publishing. Whatever becomes of it, what is committed stays so and is answered."""

from collections.abc import Callable
from typing import ParamSpec

from django.db import transaction

P = ParamSpec("P")


def after_commit(act: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
    """Calls `act` once the transaction is committed. What it raises is logged and goes no further.

    A function and no partial object: Django names a hook that failed by its __qualname__, which a partial lacks, and
    the AttributeError would turn a committed import into a 500.
    """

    def follow() -> None:
        act(*args, **kwargs)

    transaction.on_commit(follow, robust=True)
