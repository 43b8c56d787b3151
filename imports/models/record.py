"""The current state of one entity of one customer."""

from django.db import models

from customers.models import Customer, DataKey
from imports.models.job import ImportJob


class Record(models.Model):
    """Written only by imports/storing.py. Foreign keys carry no constraint, since each costs a look-up a row.

    (origin_job, origin_index) is where the last sighting came from. A write counts only over an older origin, so the
    last one in wins whatever order the workers finish in.
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
    payload = models.BinaryField(help_text="The record as canonical JSON, encrypted")
    fingerprint = models.BinaryField(help_text="HMAC of the canonical JSON, 32 bytes")
    data_key = models.ForeignKey(
        DataKey, on_delete=models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False
    )
    origin_job = models.ForeignKey(
        ImportJob, on_delete=models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False
    )
    origin_index = models.IntegerField()
    changed_job = models.ForeignKey(
        ImportJob, on_delete=models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False
    )
    changed_index = models.IntegerField(help_text="Index in changed_job of the record that last changed the content")
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField(help_text="When the content last changed")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["customer", "type", "key"], name="record_one_per_key"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {bytes(self.key).hex()[:12]}"
