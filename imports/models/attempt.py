"""That a worker began a batch: written outside the batch's transaction, so that it survives the worker's death."""

from django.db import models


class BatchAttempt(models.Model):
    """No foreign key to the batch: its check would wait for the very lock that the worker holds."""

    batch_id = models.BigIntegerField()
    customer_id = models.BigIntegerField()
    worker = models.CharField(max_length=100)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, help_text="Null for good where the process was killed")
    end = models.CharField(
        max_length=20,
        blank=True,
        help_text="done, again after a deadlock, the reason, or the error's class; "
        "of one without an end how it was killed",
    )

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["batch_id"], name="batch_attempt_by_batch"),
            models.Index(fields=["customer_id", "-started_at"], name="batch_attempt_by_customer"),
        ]

    def __str__(self) -> str:
        return f"batch {self.batch_id} by {self.worker}"
