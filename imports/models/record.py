"""The current state of one entity of one customer."""

from django.db import models

from customers.models import Customer
from imports.models.content import Content


class Record(Content):
    """Written by imports/storing.py, and by imports/unwinding.py where an import is undone.

    A write counts only over an older origin, so the last one in wins whatever order the workers finish in.
    """

    class Type(models.TextChoices):
        CUSTOMER = "customer", "Customer"
        ORDER = "order", "Order"
        PRODUCT = "product", "Product"

    customer = models.ForeignKey(
        Customer, on_delete=models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False
    )
    type = models.CharField(max_length=16, choices=Type.choices)
    key = models.BinaryField(help_text="Blind index of the external id, 16 bytes")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["customer", "type", "key"], name="record_one_per_key"),
        ]
        permissions = [("view_masked_record", "Can see records and failed records with their values masked")]

    def __str__(self) -> str:
        return f"{self.type} {bytes(self.key).hex()[:12]}"
