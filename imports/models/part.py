"""One part of a job that is sent in several: what arrived under its number, so that the same may come again."""

from django.db import models
from django.db.models import Q

from customers.models import Customer
from imports.models.job import ImportJob


class ImportPart(models.Model):
    """Its records are batches of the job, written in the same transaction."""

    job = models.ForeignKey(ImportJob, on_delete=models.CASCADE, related_name="parts", db_index=False)
    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    number = models.PositiveIntegerField(help_text="From 1; the order of the job's records")
    body_digest = models.BinaryField(help_text="SHA-256 of the part as it came over the wire")
    form = models.CharField(max_length=100, help_text="Media type, and the type of CSV rows without such a column")
    wire_bytes = models.PositiveIntegerField()
    record_count = models.PositiveIntegerField()
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["job_id", "number"]
        constraints = [
            models.UniqueConstraint(fields=["job", "number"], name="import_part_one_per_number"),
            models.CheckConstraint(condition=Q(number__gte=1), name="import_part_number_from_one"),
        ]

    def __str__(self) -> str:
        return f"{self.job_id} part {self.number}"
