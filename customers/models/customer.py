import uuid
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower

from customers.cidr_field import CidrField


class CustomerQuerySet(models.QuerySet["Customer"]):
    def active(self) -> "CustomerQuerySet":
        return self.filter(is_active=True)


class Customer(models.Model):
    """Whoever pushes data in. Everything that grows carries its id; its data keys are its own."""

    uuid = models.UUIDField(
        default=uuid.uuid4,
        unique=True,
        editable=False,
        help_text="Bound into every ciphertext of this customer, so it never changes.",
    )
    slug = models.SlugField(max_length=64, unique=True, help_text="Short name for commands and addresses.")
    name = models.CharField(max_length=200, help_text="As people know this customer.")
    is_active = models.BooleanField(
        default=True, help_text="Without the tick every key of this customer is refused within a second."
    )
    allowed_networks = ArrayField(
        CidrField(),
        default=list,
        blank=True,
        help_text="Networks calls may come from, such as 192.0.2.0/24, 2001:db8::/32. Empty: from anywhere.",
    )
    max_concurrent_imports = models.PositiveIntegerField(
        default=5,
        validators=[MinValueValidator(1), MaxValueValidator(1000)],
        help_text="Imports that may be running at once; further ones are answered 429.",
    )
    bulk_per_minute = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Bulk imports in any minute. Empty: the house's limit, 1,000.",
    )
    status_per_minute = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Status and list calls in any minute. Empty: the house's limit, 5,000.",
    )
    validate_per_minute = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Validations in any minute. Empty: the house's limit, 2,000.",
    )
    retry_tries = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MaxValueValidator(20)],
        help_text="How often a record that failed for a passing reason is tried again. Empty: 3.",
    )
    retry_base_seconds = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(3600)],
        help_text="Longest pause before the first of these tries; it doubles with each. Empty: 2.",
    )
    retention_days = models.PositiveIntegerField(
        default=30,
        validators=[MinValueValidator(1), MaxValueValidator(3650)],
        help_text="Days that the encrypted bodies of finished imports are kept.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    erased_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="When its keys were destroyed, and with them its data."
    )

    objects = CustomerQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                Lower("name"),
                name="customer_name_unique",
                violation_error_code="customer_name_taken",
                violation_error_message="A customer of this name exists already.",
            ),
            models.CheckConstraint(condition=~Q(name=""), name="customer_name_not_empty"),
            models.CheckConstraint(
                condition=Q(erased_at__isnull=True) | Q(is_active=False),
                name="customer_erased_stays_inactive",
                violation_error_message="This customer was erased and cannot be active again.",
            ),
            models.CheckConstraint(
                condition=Q(max_concurrent_imports__gte=1, max_concurrent_imports__lte=1000),
                name="customer_max_concurrent_imports_in_range",
            ),
            models.CheckConstraint(
                condition=Q(retention_days__gte=1, retention_days__lte=3650),
                name="customer_retention_days_in_range",
            ),
            *(
                models.CheckConstraint(condition=Q(**{f"{quota}__gte": 1}), name=f"customer_{quota}_from_one")
                for quota in ("bulk_per_minute", "status_per_minute", "validate_per_minute")
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        # One spelling in memory as in the database, which answers a write with nothing.
        self.allowed_networks = [CidrField.canonical(network) for network in self.allowed_networks]
        super().save(*args, **kwargs)
