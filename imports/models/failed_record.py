"""A record that did not make it, why, and what became of it."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from customers.models import Customer
from imports.models.batch import ImportBatch
from imports.models.job import ImportJob
from imports.models.record import Record
from imports.models.redrive import Redrive


class FailedRecord(models.Model):
    """`type` is the one it was sent with. `key` stands for type and id of what it is now: an edit may change both."""

    class State(models.TextChoices):
        OPEN = "open", "Open"
        RETRYING = "retrying", "Being retried"
        RESOLVED = "resolved", "Resolved"
        DISCARDED = "discarded", "Discarded"
        DRY_RUN = "dry_run", "Found by a dry run"
        EXPIRED = "expired", "Expired with its import's retention"
        ERASED = "erased", "Erased on request"

    class Stage(models.TextChoices):
        CHECK = "check", "Check"
        MAP = "map", "Mapping"
        VALIDATE = "validate", "Validation"
        STORE = "store", "Store"
        DELIVER = "deliver", "Delivery"

    class Category(models.TextChoices):
        PERMANENT = "permanent", "Needs a change"
        RETRYABLE = "retryable", "May pass when tried again"

    class DiscardReason(models.TextChoices):
        DUPLICATE = "duplicate", "Sent by another way"
        OBSOLETE = "obsolete", "No longer needed"
        INVALID = "invalid", "Cannot be mended"
        TEST = "test", "Test data"
        OTHER = "other", "Another reason"
        UNDONE = "undone", "Its import was undone"

    UNRESOLVED: ClassVar = (State.OPEN, State.RETRYING)
    TYPES: ClassVar = ("", *Record.Type.values)
    # Nobody stored these, and nobody will unless somebody asks for it, where that can be.
    FAILED: ClassVar = (State.OPEN, State.RETRYING, State.DISCARDED, State.EXPIRED, State.ERASED)

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
    payload = models.BinaryField(null=True, help_text="The record as sent, encrypted; null once expired or erased")
    stage = models.CharField(max_length=10, choices=Stage.choices)
    code = models.CharField(max_length=50)
    pointer = models.CharField(
        max_length=300,
        blank=True,
        help_text="Where the first fault is, in the record as sent, or in the mapped one where its place there is "
        "not known; names that the caller chose stand as *",
    )
    message = models.CharField(max_length=300, help_text="Safe to show: never quotes a value")
    problems = models.BinaryField(null=True, help_text="Every fault found, code and exact pointer, encrypted")
    category = models.CharField(max_length=10, choices=Category.choices, default=Category.PERMANENT)
    group_key = models.BinaryField(help_text="Same for failures of the same type, code and place")
    attempts = models.PositiveIntegerField(default=1, help_text="How often it was tried, the import itself included")
    tries = models.PositiveSmallIntegerField(
        default=0, db_default=0, help_text="Of these, how often by itself since somebody last asked for it"
    )
    tried_at = models.DateTimeField(null=True, help_text="When it was last tried again, by the database's clock")
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    next_attempt_at = models.DateTimeField(null=True)
    edited = models.BinaryField(null=True, help_text="What a person put in the payload's place, encrypted")
    edit_job = models.ForeignKey(
        ImportJob,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        db_index=False,
        help_text="The edit's own number, the origin of what it stores",
    )
    redrive = models.ForeignKey(
        Redrive, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False, db_constraint=False
    )
    discard_reason = models.CharField(
        max_length=10, choices=DiscardReason.choices, default="", db_default="", blank=True
    )
    resolved_by = models.ForeignKey(ImportJob, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        ordering = ["job_id", "index"]
        constraints = [
            models.UniqueConstraint(fields=["job", "index"], name="failed_record_one_per_index"),
            models.CheckConstraint(
                condition=Q(payload__isnull=False, problems__isnull=False)
                | (
                    Q(payload__isnull=True, problems__isnull=True, edited__isnull=True, key__isnull=True)
                    & ~Q(state__in=["open", "retrying"])
                ),
                name="failed_record_whole_until_it_ends",
            ),
        ]
        indexes = [
            models.Index(fields=["job", "state", "code", "pointer"], name="failed_record_reasons"),
            models.Index(
                fields=["customer", "type", "key"],
                condition=Q(key__isnull=False),
                name="failed_record_by_key",
            ),
            models.Index(
                fields=["customer", "key", "job"],
                condition=Q(key__isnull=False, state__in=["open", "retrying"]),
                name="failed_record_unresolved",
            ),
            models.Index(fields=["customer", "state", "group_key"], name="failed_record_by_group"),
            models.Index(fields=["customer", "id"], name="failed_record_by_customer"),
            models.Index(
                fields=["next_attempt_at"],
                condition=Q(next_attempt_at__isnull=False, state__in=["open", "retrying"]),
                name="failed_record_due",
            ),
            models.Index(fields=["redrive"], condition=Q(state="retrying"), name="failed_record_under_way"),
        ]

    def __str__(self) -> str:
        return f"{self.job_id}[{self.index}] {self.code}"

    @property
    def known_type(self) -> bool:
        return self.type in Record.Type.values
