"""A record that did not make it, why, and what became of it."""

from django.db import models
from django.db.models import Q

from customers.models import Customer
from imports.models.batch import ImportBatch
from imports.models.job import ImportJob
from imports.models.record import Record


class FailedRecord(models.Model):
    class State(models.TextChoices):
        OPEN = "open", "Open"
        RETRYING = "retrying", "Being retried"
        RESOLVED = "resolved", "Resolved"
        DISCARDED = "discarded", "Discarded"
        DRY_RUN = "dry_run", "Found by a dry run"

    class Stage(models.TextChoices):
        CHECK = "check", "Check"
        MAP = "map", "Mapping"
        STORE = "store", "Store"
        DELIVER = "deliver", "Delivery"

    class Category(models.TextChoices):
        PERMANENT = "permanent", "Needs a change"
        RETRYABLE = "retryable", "May pass when tried again"

    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    job = models.ForeignKey(ImportJob, on_delete=models.CASCADE, related_name="failed_records", db_index=False)
    batch = models.ForeignKey(
        ImportBatch, on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    index = models.PositiveIntegerField(help_text="0-based position in the job")
    type = models.CharField(max_length=16, blank=True, help_text="Empty where the record names no known type")
    key = models.BinaryField(null=True, help_text="Blind index of the external id, where the record has one")
    payload = models.BinaryField(help_text="The record as sent, encrypted")
    stage = models.CharField(max_length=10, choices=Stage.choices)
    code = models.CharField(max_length=50)
    pointer = models.CharField(
        max_length=300,
        blank=True,
        help_text="Where the first fault is; names that the caller chose stand as *",
    )
    message = models.CharField(max_length=300, help_text="Safe to show: never quotes a value")
    problems = models.BinaryField(help_text="Every fault found, code and exact pointer, encrypted")
    category = models.CharField(max_length=10, choices=Category.choices, default=Category.PERMANENT)
    group_key = models.BinaryField(help_text="Same for failures of the same type, code and place")
    attempts = models.PositiveSmallIntegerField(default=1)
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    next_attempt_at = models.DateTimeField(null=True)
    resolved_by = models.ForeignKey(ImportJob, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        ordering = ["job_id", "index"]
        constraints = [
            models.UniqueConstraint(fields=["job", "index"], name="failed_record_one_per_index"),
        ]
        indexes = [
            models.Index(fields=["job", "state", "code", "pointer"], name="failed_record_reasons"),
            models.Index(
                fields=["customer", "type", "key"],
                condition=Q(key__isnull=False),
                name="failed_record_by_key",
            ),
            models.Index(fields=["customer", "state", "group_key"], name="failed_record_by_group"),
        ]

    def __str__(self) -> str:
        return f"{self.job_id}[{self.index}] {self.code}"

    @property
    def known_type(self) -> bool:
        return self.type in Record.Type.values
