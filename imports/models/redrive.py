"""Many failed records tried again as one thing that can be watched, paused and stopped."""

import uuid
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from customers.models import Customer
from imports.models.job import ImportJob


class Redrive(models.Model):
    """What was asked for, how far it is, and where it goes on after a kill (`position`). Its row lock is the claim."""

    class State(models.TextChoices):
        RUNNING = "running", "Running"
        PAUSED = "paused", "Paused"
        CANCELLED = "cancelled", "Cancelled"
        DONE = "done", "Done"

    UNFINISHED: ClassVar = (State.RUNNING, State.PAUSED)

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+", db_index=False)
    state = models.CharField(max_length=10, choices=State.choices, default=State.RUNNING)
    state_reason = models.CharField(max_length=20, blank=True, help_text="sample: it paused by itself after its sample")

    wanted_job = models.ForeignKey(
        ImportJob, null=True, on_delete=models.CASCADE, related_name="+", db_index=False, help_text="Empty: of any job"
    )
    wanted_code = models.CharField(max_length=50, blank=True)
    wanted_type = models.CharField(max_length=16, blank=True)
    wanted_state = models.CharField(max_length=10, help_text="open or discarded")
    sample = models.PositiveIntegerField(null=True, help_text="Pause after so many")
    per_second = models.PositiveIntegerField(null=True, help_text="At most so many in any second")

    total = models.PositiveIntegerField(help_text="Records that matched when it began")
    released = models.PositiveIntegerField(default=0, help_text="Handed to the workers so far")
    succeeded = models.PositiveIntegerField(default=0)
    failed_again = models.PositiveIntegerField(default=0)
    position = models.BigIntegerField(default=0, help_text="Number of the last failed record handed out")
    stops_at = models.PositiveIntegerField(null=True, help_text="Pauses when so many were handed out")
    due_at = models.DateTimeField(db_default=Now(), help_text="When the next may be handed out")

    actor_kind = models.CharField(max_length=10)
    actor_id = models.CharField(max_length=150)
    request_id = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "customer",
                    "wanted_job",
                    "wanted_code",
                    "wanted_type",
                    "wanted_state",
                    "sample",
                    "per_second",
                ],
                condition=Q(state__in=["running", "paused"]),
                nulls_distinct=False,
                name="redrive_one_of_a_kind_at_a_time",
            ),
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=Q(state="running"), name="redrive_running"),
            models.Index(fields=["customer", "-id"], name="redrive_by_customer"),
        ]

    def __str__(self) -> str:
        return str(self.uuid)

    @property
    def done(self) -> int:
        return self.succeeded + self.failed_again

    @property
    def left(self) -> int:
        """How many are still to be tried, as of the start; what was resolved in another way falls away at the end."""
        return max(self.total - self.done, 0) if self.state in self.UNFINISHED else 0
