"""An import that is taken back, and what of it stays."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from customers.models import Customer
from imports.models.job import ImportJob


class Undo(models.Model):
    """One a job. Its row lock is the claim; `position` is where it goes on after a kill, from the job's end to its
    beginning."""

    class State(models.TextChoices):
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"

    UNFINISHED: ClassVar = (State.RUNNING, State.FAILED)

    job = models.OneToOneField(ImportJob, on_delete=models.CASCADE, related_name="undo")
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+", db_index=False)
    state = models.CharField(max_length=10, choices=State.choices, default=State.RUNNING)
    state_reason = models.CharField(max_length=50, blank=True, help_text="Why it failed")

    position = models.PositiveIntegerField(help_text="Everything of the job from this index on is undone")
    removed = models.PositiveIntegerField(default=0, help_text="Records that the import had created")
    restored = models.PositiveIntegerField(default=0, help_text="Records that hold again what they held before")
    kept = models.PositiveIntegerField(default=0, help_text="Records that stay as they are, see KeptRecord")
    gone = models.PositiveIntegerField(default=0, help_text="Records that were no longer there")
    discarded = models.PositiveIntegerField(default=0, help_text="Failed records of the import that were given up")

    tries = models.PositiveIntegerField(default=0, help_text="How often the next batch was begun")
    due_at = models.DateTimeField(db_default=Now(), help_text="When a worker may go on")

    actor_kind = models.CharField(max_length=10)
    actor_id = models.CharField(max_length=150)
    request_id = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(state="done") | Q(position=0, finished_at__isnull=False), name="undo_done_is_at_the_start"
            ),
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=Q(state="running"), name="undo_running"),
        ]

    def __str__(self) -> str:
        return f"undo of {self.job_id}"


class KeptRecord(models.Model):
    """A record that an undone import had created or updated and that stays as it is."""

    class Reason(models.TextChoices):
        CHANGED = "changed", "A later import changed it"
        EDITED = "edited", "Somebody edited it"
        CONFIRMED = "confirmed", "A later import brought the same content"
        SUPERSEDED = "superseded", "An older import's record was left out for it"
        NO_VERSION = "no_version", "What it held before is not known"

    undo = models.ForeignKey(Undo, on_delete=models.CASCADE, related_name="kept_records", db_index=False)
    index = models.PositiveIntegerField(help_text="0-based position in the undone job")
    reason = models.CharField(max_length=10, choices=Reason.choices)
    by_job = models.ForeignKey(
        ImportJob,
        null=True,
        on_delete=models.DO_NOTHING,
        related_name="+",
        db_constraint=False,
        db_index=False,
        help_text="The import or edit that it is kept for",
    )

    class Meta:
        ordering = ["undo_id", "index"]
        constraints = [
            models.UniqueConstraint(fields=["undo", "index"], name="kept_record_one_per_index"),
        ]

    def __str__(self) -> str:
        return f"{self.undo_id}[{self.index}] {self.reason}"
