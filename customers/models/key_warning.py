from django.db import models

from customers.models.hmac_key import HmacKey


class KeyWarning(models.Model):
    """That a key ends within so many days. One row a key and threshold, so that nobody is told twice."""

    key = models.ForeignKey(HmacKey, on_delete=models.CASCADE, related_name="warnings", db_index=False)
    days = models.PositiveSmallIntegerField(help_text="The threshold that was passed: 30, 14, 7 or 1.")
    at = models.DateTimeField(help_text="When it was noticed.")

    class Meta:
        ordering = ["-at"]
        constraints = [models.UniqueConstraint(fields=["key", "days"], name="key_warning_once_a_threshold")]

    def __str__(self) -> str:
        return f"{self.key_id} {self.days} days"
