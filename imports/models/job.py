"""One accepted import: who sent it, how far it is, how it ended."""

import uuid
from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce

from customers.models import Customer, HmacKey


class ImportJobQuerySet(models.QuerySet["ImportJob"]):
    def running(self) -> "ImportJobQuerySet":
        """Imports that count among a customer's concurrent ones."""
        return self.closed().filter(kind=ImportJob.Kind.IMPORT, status__in=ImportJob.UNFINISHED)

    def open(self) -> "ImportJobQuerySet":
        """Jobs in parts that still take parts; nothing of them is processed."""
        return self.filter(open_until__isnull=False)

    def closed(self) -> "ImportJobQuerySet":
        """Jobs whose records are all there, however they were sent."""
        return self.filter(open_until__isnull=True)

    def unfinished(self) -> "ImportJobQuerySet":
        return self.filter(status__in=ImportJob.UNFINISHED)


class ImportJob(models.Model):
    """The primary key is the job's number: it is taken on acceptance and orders every write to a Record."""

    class Kind(models.TextChoices):
        IMPORT = "import", "Import"
        DRY_RUN = "dry_run", "Dry run"
        EDIT = "edit", "Edit of a failed record"

    class Status(models.TextChoices):
        PENDING = "pending", "Pending"
        PROCESSING = "processing", "Processing"
        COMPLETED = "completed", "Completed"
        FAILED = "failed", "Failed"

    UNFINISHED: ClassVar = (Status.PENDING, Status.PROCESSING)

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="imports", db_index=False)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.IMPORT)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PENDING)
    status_reason = models.CharField(max_length=200, blank=True)

    source = models.CharField(max_length=100, blank=True, help_text="metadata.source, as the caller sent it")
    metadata = models.BinaryField(
        null=True, help_text="The whole metadata object, encrypted; null once the retention has ended"
    )
    hmac_key = models.ForeignKey(HmacKey, null=True, on_delete=models.SET_NULL, related_name="+")
    request_id = models.CharField(max_length=64)
    source_ip = models.GenericIPAddressField(null=True)
    idempotency_digest = models.BinaryField(null=True, help_text="SHA-256 of the kind and the caller's Idempotency-Key")
    body_digest = models.BinaryField(help_text="SHA-256 of the body as it came over the wire")

    total = models.PositiveIntegerField(help_text="Records received; of an open job those of the parts so far")
    received_bytes = models.PositiveBigIntegerField(
        default=0, db_default=0, help_text="Of its body or of its parts so far, unpacked"
    )
    processed = models.PositiveIntegerField(default=0)
    created = models.PositiveIntegerField(default=0)
    updated = models.PositiveIntegerField(default=0)
    unchanged = models.PositiveIntegerField(default=0)
    superseded = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    unprocessed = models.PositiveIntegerField(default=0)
    batch_count = models.PositiveIntegerField()
    batches_ended = models.PositiveIntegerField(default=0)
    revision = models.PositiveIntegerField(default=0, help_text="Goes up with every change; the socket's seq")

    open_until = models.DateTimeField(
        null=True, help_text="Set while the job takes parts: it expires then, unless another part comes"
    )
    expected_total = models.PositiveIntegerField(null=True, help_text="What the caller announced on opening")

    announced_total = models.PositiveIntegerField(
        null=True, help_text="How many records the caller said there are, compared with what came and never enforced"
    )

    mappings = models.JSONField(
        null=True,
        help_text="Version of the mapping it runs with by record type, as published when it was accepted; a type "
        "without one is stored as it came. Null while it is open, and for jobs of releases without mappings",
    )
    dry_run = models.ForeignKey(
        "self",
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        db_index=False,
        help_text="The dry run whose content this import was committed with",
    )

    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    cancelled_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(
        help_text="When payload and results are removed: so many days after its end, as its customer's retention says"
    )
    expired_at = models.DateTimeField(null=True, help_text="Set before the first of its content is removed")
    purged_at = models.DateTimeField(null=True, help_text="When nothing of its content was left")

    retry_tries = models.PositiveSmallIntegerField(
        null=True, help_text="How often a passing failure is tried again, where the caller said so"
    )
    retry_base_seconds = models.PositiveSmallIntegerField(
        null=True, help_text="Longest pause before the first of these tries, where the caller said so"
    )

    objects = ImportJobQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["customer", "idempotency_digest"],
                condition=Q(idempotency_digest__isnull=False),
                name="import_job_one_per_idempotency_key",
            ),
            models.UniqueConstraint(
                fields=["dry_run"], condition=Q(dry_run__isnull=False), name="import_job_one_per_dry_run"
            ),
            models.CheckConstraint(
                condition=Q(processed=F("created") + F("updated") + F("unchanged") + F("superseded") + F("failed")),
                name="import_job_processed_is_the_sum_of_outcomes",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=["completed", "failed"])
                | Q(total=F("processed") + F("unprocessed"), finished_at__isnull=False),
                name="import_job_ends_with_every_record_counted",
            ),
            models.CheckConstraint(
                condition=Q(open_until__isnull=True) | Q(status="pending", processed=0),
                name="import_job_open_is_untouched",
            ),
            models.CheckConstraint(
                condition=(Q(retry_tries__isnull=True) | Q(retry_tries__lte=20))
                & (Q(retry_base_seconds__isnull=True) | Q(retry_base_seconds__gte=1, retry_base_seconds__lte=3600)),
                name="import_job_retry_policy_in_range",
            ),
            models.CheckConstraint(
                condition=Q(expired_at__isnull=True) | Q(finished_at__isnull=False),
                name="import_job_expires_after_its_end",
            ),
            models.CheckConstraint(
                condition=Q(metadata__isnull=False) | Q(expired_at__isnull=False),
                name="import_job_metadata_until_it_expires",
            ),
        ]
        indexes = [
            models.Index(fields=["customer", "-id"], name="import_job_by_customer"),
            models.Index(
                fields=["customer", "id"],
                condition=Q(status__in=["pending", "processing"]),
                name="import_job_unfinished",
            ),
            models.Index(
                fields=["customer", "open_until"],
                condition=Q(open_until__isnull=False),
                name="import_job_open",
            ),
            models.Index(fields=["request_id"], name="import_job_by_request"),
            models.Index(fields=["expires_at"], condition=Q(purged_at__isnull=True), name="import_job_expiring"),
            models.Index(
                "customer",
                F("expires_at") - Coalesce("finished_at", "created_at"),
                condition=Q(expired_at__isnull=True),
                name="import_job_retention",
            ),
        ]

    def __str__(self) -> str:
        return str(self.uuid)

    @property
    def is_finished(self) -> bool:
        return self.status not in self.UNFINISHED

    @property
    def is_undone(self) -> bool:
        """Whether it was taken back, wholly. A query, unless the job was read with `undo`."""
        undo = getattr(self, "undo", None)
        return undo is not None and undo.finished_at is not None

    def seconds_working(self, now: datetime) -> float:
        """How long the job has been worked on, in seconds; 0 before its first batch."""
        if self.started_at is None:
            return 0.0
        return max(((self.finished_at or now) - self.started_at).total_seconds(), 0.0)
