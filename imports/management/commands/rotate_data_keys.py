"""`manage.py rotate_data_keys`: new data keys, and everything under the old ones re-encrypted while all goes on."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.clock import database_now
from audit.context import Actor, acting_as
from customers import rotation
from customers.models import Customer, DataKey
from imports import key_rotation
from imports.reencryption import remaining


class Command(BaseCommand):
    help = (
        "Rotate data keys and re-encrypt what is under the old ones. Without options it finishes rotations that have "
        "begun. It may be stopped and started at any time."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--customer", metavar="SLUG", help="rotate this customer's keys now, whatever their age")
        which.add_argument("--due", action="store_true", help="rotate every key that is 90 days old")

    def handle(self, *args: Any, customer: str | None, due: bool, **options: Any) -> None:
        with acting_as(Actor("command", "rotate_data_keys")):
            if customer is not None:
                found = Customer.objects.filter(slug=customer).first()
                if found is None:
                    raise CommandError(f"There is no customer {customer!r}. The admin lists them by short name.")
                if not rotation.begin(found, now=database_now()):
                    raise CommandError(f"{found.name} has no data keys that could be rotated: it was erased.")
                self._work_off(found)
                return
            if due:
                self.stdout.write(f"{key_rotation.begin_due()} customers have new data keys.")
            for waiting in Customer.objects.filter(pk__in=DataKey.objects.retired().values("customer_id").order_by()):
                self._work_off(waiting)

    def _work_off(self, customer: Customer) -> None:
        moved = sum(key_rotation.work_off(customer))
        self.stdout.write(self.style.SUCCESS(f"{customer.name}: {moved:,} values re-encrypted."))
        left = sum(remaining(key) for key in DataKey.objects.retired().filter(customer=customer))
        if left:
            raise CommandError(f"{left:,} values are left: held by somebody, or ciphertext_unreadable as the log says.")
        waiting = DataKey.objects.retired().filter(customer=customer).count()
        if waiting:
            minutes = rotation.SETTLE_SECONDS // 60
            self.stdout.write(
                f"{waiting} old keys are unused; a sweeper destroys them after {minutes} minutes of rest."
            )
