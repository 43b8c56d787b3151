"""What a record held before a later one changed it."""

from django.contrib.postgres.indexes import BrinIndex
from django.db import models

from customers.models import Customer
from imports.models.content import Content
from imports.models.job import ImportJob


class RecordVersion(Content):
    """The before-image of one change, for undo and the record's story; goes when the retention of `job` ends.

    Changed only with the row of its Record locked. The payload stays bound to the Record it was taken from, so it moves
    between the two tables as it is.
    """

    customer = models.ForeignKey(
        Customer, on_delete=models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False
    )
    type = models.CharField(max_length=16)
    key = models.BinaryField(help_text="Blind index of the external id, 16 bytes")
    job = models.ForeignKey(
        ImportJob,
        on_delete=models.DO_NOTHING,
        related_name="+",
        db_constraint=False,
        db_index=False,
        help_text="The import or edit that replaced this content",
    )
    index = models.IntegerField(help_text="Index in job of the record that replaced it")
    replaced_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["customer", "type", "key", "job", "index"], name="record_version_one_per_change"
            ),
        ]
        # Rows come in the order of the jobs, so this finds those of a job for next to nothing.
        indexes = [
            BrinIndex(fields=["job"], name="record_version_by_job"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {bytes(self.key).hex()[:12]} before {self.job_id}[{self.index}]"
