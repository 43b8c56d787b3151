"""How many calls a customer may make in any 60 seconds: the house's limits, or the customer's own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args
from uuid import UUID

from customers.models import Customer
from customers.windows import Use, Window

SECONDS: Final = 60

QuotaName = Literal["bulk", "status", "validate"]
NAMES: Final[tuple[QuotaName, ...]] = get_args(QuotaName)
LIMITS: Final[Mapping[QuotaName, int]] = {"bulk": 1000, "status": 5000, "validate": 2000}


@dataclass(frozen=True, slots=True)
class Quota:
    """One of a customer's quotas. Counting never raises for a lost Valkey."""

    name: QuotaName
    limit: int
    customer: UUID

    @property
    def seconds(self) -> int:
        return SECONDS

    def take(self) -> Use:
        """Counts a call; `is_within` False where it is one too many, which is then not counted."""
        return self._window.hit(self.customer.hex)

    def look(self) -> Use:
        """How much is left, without counting."""
        return self._window.look(self.customer.hex)

    @property
    def _window(self) -> Window:
        return Window(f"quota/{self.name}", self.limit, SECONDS)


def quotas_of(customer: Customer) -> dict[QuotaName, Quota]:
    """All of a customer's quotas by name."""
    own = {
        "bulk": customer.bulk_per_minute,
        "status": customer.status_per_minute,
        "validate": customer.validate_per_minute,
    }
    return {name: Quota(name, own[name] or LIMITS[name], customer.uuid) for name in NAMES}
