"""How good what one job brought was: as a whole, by record type, and by field of its mappings."""

from django.db import models
from django.db.models import Q

from customers.models import Customer
from imports.models.job import ImportJob


class QualityScore(models.Model):
    """Written once, when its job ends. Holds counts, codes and names out of mappings, nothing of a record, and so stays
    when the retention ends and when the customer is erased."""

    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    job = models.ForeignKey(ImportJob, on_delete=models.CASCADE, related_name="quality_scores", db_index=False)
    is_dry_run = models.BooleanField(default=False, help_text="Not part of the customer's trend")
    record_type = models.CharField(max_length=16, blank=True, help_text="Empty for the whole job")
    position = models.PositiveSmallIntegerField(
        default=0, help_text="The field's place in its mapping, from 1; 0 for all of the type"
    )
    field = models.TextField(blank=True, help_text="The mapping's target; empty for all of the type")
    counts = models.JSONField(help_text="What the score follows from, see docs/quality.md")
    score = models.FloatField(null=True, help_text="0 to 1; null where nothing was judged")

    class Meta:
        ordering = ["-job_id", "record_type", "position"]
        constraints = [
            models.UniqueConstraint(fields=["job", "record_type", "position"], name="quality_score_one_a_place"),
            models.CheckConstraint(
                condition=Q(score__isnull=True) | Q(score__gte=0, score__lte=1), name="quality_score_is_a_share"
            ),
            models.CheckConstraint(
                condition=Q(position=0, field="") | (Q(position__gte=1) & ~Q(record_type="")),
                name="quality_score_field_has_a_type",
            ),
        ]
        indexes = [
            models.Index(
                fields=["customer", "record_type", "-job"],
                condition=Q(position=0, is_dry_run=False, score__isnull=False),
                name="quality_score_trend",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.job_id} {self.record_type} {self.field}".strip()
