"""A few thousand consecutive records of a job: the unit that commits as a whole."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from customers.models import Customer
from imports.models.job import ImportJob


class ImportBatchQuerySet(models.QuerySet["ImportBatch"]):
    def due(self) -> "ImportBatchQuerySet":
        """Pending, and not put off beyond now by the database's clock."""
        return self.filter(Q(due_at=None) | Q(due_at__lte=Now()), state=ImportBatch.State.PENDING)


class ImportBatch(models.Model):
    """Pending until the transaction that did its work commits; the row's lock is the claim."""

    class State(models.TextChoices):
        PENDING = "pending", "Pending"
        DONE = "done", "Done"
        DROPPED = "dropped", "Dropped"

    job = models.ForeignKey(ImportJob, on_delete=models.CASCADE, related_name="batches", db_index=False)
    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    sequence = models.PositiveIntegerField(
        help_text="Its number in the job, in the order of the records; binds the payload, so it never changes"
    )
    first_index = models.PositiveIntegerField(
        help_text="The job-wide index of its first record; while the job is open, that in its part"
    )
    record_count = models.PositiveIntegerField()
    payload = models.BinaryField(null=True, help_text="The records as sent, compressed, then encrypted")
    superseded = ArrayField(
        models.PositiveIntegerField(),
        default=list,
        help_text="Offsets of records that a later one of the same job replaces",
    )
    state = models.CharField(max_length=8, choices=State.choices, default=State.PENDING)
    outcomes = models.BinaryField(null=True, help_text="One byte a record, see imports/outcome.py")
    by_type = models.JSONField(default=dict, help_text="Records handled and failed by record type")
    quality = models.JSONField(
        null=True,
        help_text="What was counted of its records' quality, see imports/quality/tally.py; null until it is done",
    )
    due_at = models.DateTimeField(null=True, help_text="Put off until then, after a time-out")
    is_suspect = models.BooleanField(
        default=False,
        db_default=False,
        help_text="A piece of a batch that timed out: taken apart at its first time-out",
    )
    ended_at = models.DateTimeField(null=True)

    objects = ImportBatchQuerySet.as_manager()

    class Meta:
        ordering = ["job_id", "sequence"]
        verbose_name_plural = "import batches"
        constraints = [
            models.UniqueConstraint(fields=["job", "sequence"], name="import_batch_one_per_sequence"),
            models.CheckConstraint(
                condition=~Q(state="done") | Q(outcomes__isnull=False), name="import_batch_done_has_outcomes"
            ),
        ]
        indexes = [
            models.Index(fields=["job", "sequence"], condition=Q(state="pending"), name="import_batch_pending"),
        ]

    def __str__(self) -> str:
        return f"{self.job_id}/{self.sequence}"
