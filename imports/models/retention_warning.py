"""That failed records which nobody has dealt with will expire with their import's retention."""

from django.db import models

from imports.models.job import ImportJob


class RetentionWarning(models.Model):
    """One row a job and threshold, so that nobody is told twice."""

    job = models.ForeignKey(ImportJob, on_delete=models.CASCADE, related_name="warnings", db_index=False)
    days = models.PositiveSmallIntegerField(help_text="The threshold that was passed: 7 or 1")
    count = models.PositiveIntegerField(help_text="Failed records that were still open then")
    at = models.DateTimeField(help_text="When it was noticed")

    class Meta:
        ordering = ["-at"]
        constraints = [models.UniqueConstraint(fields=["job", "days"], name="retention_warning_once_a_threshold")]

    def __str__(self) -> str:
        return f"{self.job_id} {self.days} days"
