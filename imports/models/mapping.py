"""How records of one type of one customer become ours, version by version."""

from django.db import models
from django.db.models import Q

from customers.models import Customer
from imports.exact_json_field import ExactJSONField
from imports.models.record import Record


class Mapping(models.Model):
    """One version. Published and archived ones never change and never go: a trigger of the database sees to it.

    Written only by imports/mapping_versions.py. (customer, record_type, version) names it for good.
    """

    class State(models.TextChoices):
        DRAFT = "draft", "Draft"
        PUBLISHED = "published", "Published"
        ARCHIVED = "archived", "Archived"

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="mappings", db_index=False)
    record_type = models.CharField(max_length=16, choices=Record.Type.choices)
    version = models.PositiveIntegerField(help_text="From 1, rising")
    state = models.CharField(max_length=10, choices=State.choices, default=State.DRAFT)
    unmapped = models.CharField(max_length=10, help_text="What becomes of a field without a rule: keep, drop or refuse")
    ignored = ExactJSONField(default=list, help_text="Source paths that are left out on purpose")
    rules = ExactJSONField(default=list, help_text="Conditions on the whole mapped record, in JSONata")
    schema = ExactJSONField(null=True, blank=True, help_text="JSON Schema 2020-12 of the mapped record")
    note = models.CharField(max_length=200, blank=True)
    based_on = models.PositiveIntegerField(null=True, blank=True, help_text="The version whose content it began with")
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=161, help_text="kind:id of who did it, as in the audit trail")
    published_at = models.DateTimeField(null=True, blank=True)
    published_by = models.CharField(max_length=161, blank=True)
    archived_at = models.DateTimeField(null=True, blank=True)
    archived_by = models.CharField(max_length=161, blank=True)

    class Meta:
        ordering = ["customer_id", "record_type", "-version"]
        constraints = [
            models.UniqueConstraint(fields=["customer", "record_type", "version"], name="mapping_one_per_version"),
            models.UniqueConstraint(
                fields=["customer", "record_type"], condition=Q(state="published"), name="mapping_one_published"
            ),
            models.CheckConstraint(condition=Q(version__gte=1), name="mapping_version_from_one"),
            models.CheckConstraint(
                condition=Q(state="draft", published_at__isnull=True, archived_at__isnull=True)
                | Q(state="published", published_at__isnull=False, archived_at__isnull=True)
                | Q(state="archived", published_at__isnull=False, archived_at__isnull=False),
                name="mapping_state_has_its_times",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.record_type} version {self.version}"


class FieldMapping(models.Model):
    """One field of the mapped record and how it comes about. Its members are those of imports/mapping/definition.py."""

    mapping = models.ForeignKey(Mapping, on_delete=models.CASCADE, related_name="fields", db_index=False)
    position = models.PositiveIntegerField(help_text="0 for the first rule of the mapping")
    target = models.TextField()
    data_type = models.CharField(max_length=10)
    source = models.TextField(null=True, blank=True)  # noqa: DJ001 - an empty path is not the same as none
    sources = ExactJSONField(default=list)
    expression = models.TextField(null=True, blank=True)  # noqa: DJ001 - likewise
    transforms = ExactJSONField(default=list)
    values = ExactJSONField(default=list, help_text="The values of an enum")
    default = ExactJSONField(null=True, blank=True)
    mandatory = models.BooleanField(default=False)
    absent = models.CharField(max_length=10, help_text="What counts as no value, beside a missing member")
    classification = models.CharField(max_length=12)
    mask = models.CharField(max_length=10, blank=True, help_text="Empty: by classification")
    mask_pattern = ExactJSONField(null=True, blank=True)

    class Meta:
        ordering = ["mapping_id", "position"]
        constraints = [
            models.UniqueConstraint(fields=["mapping", "position"], name="field_mapping_one_per_position"),
            models.CheckConstraint(
                condition=Q(source__isnull=True) | Q(expression__isnull=True), name="field_mapping_one_source"
            ),
        ]

    def __str__(self) -> str:
        return self.target
