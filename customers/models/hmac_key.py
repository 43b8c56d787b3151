from datetime import datetime

from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q

from customers.fields import EncryptedTextField
from customers.models.customer import Customer
from customers.scopes import ALL_SCOPES

# \Z in both engines is the very end; Python's $ would let a line feed through.
KEY_ID = r"^[A-Za-z0-9_-]{8,40}\Z"


class HmacKeyQuerySet(models.QuerySet["HmacKey"]):
    def live(self, now: datetime) -> "HmacKeyQuerySet":
        """Keys that sign calls at this moment."""
        return self.filter(revoked_at__isnull=True, not_before__lte=now, expires_at__gt=now, customer__is_active=True)


class HmacKey(models.Model):
    """A key a customer's program signs with. Several may be live at once, so that rotation overlaps."""

    key_id = models.CharField(
        max_length=40,
        unique=True,
        validators=[RegexValidator(KEY_ID, "Eight to forty of A-Z a-z 0-9 _ -.")],
        help_text="Public name of the key; every signed call carries it.",
    )
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="hmac_keys")
    secret = EncryptedTextField(help_text="Shown once when the key is issued, and kept encrypted.")
    label = models.CharField(max_length=100, blank=True, help_text="Where this key is used, for example 'CRM export'.")
    scopes = ArrayField(models.CharField(max_length=32), help_text="What calls signed with this key may do.")
    not_before = models.DateTimeField(help_text="Calls are refused before this time.")
    expires_at = models.DateTimeField(help_text="Calls are refused from this time on; 90 days after issue by default.")
    revoked_at = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="Set when somebody revoked the key; it never works again.",
    )
    last_used_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Last call signed with this key, to the minute."
    )
    last_used_ip = models.GenericIPAddressField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = HmacKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "HMAC key"
        verbose_name_plural = "HMAC keys"
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(condition=Q(key_id__regex=KEY_ID), name="hmac_key_id_form"),
            models.CheckConstraint(
                condition=Q(expires_at__gt=F("not_before")), name="hmac_key_expires_after_it_begins"
            ),
            models.CheckConstraint(
                condition=Q(scopes__contained_by=list(ALL_SCOPES)) & ~Q(scopes=[]),
                name="hmac_key_scopes_known",
            ),
        ]

    def __str__(self) -> str:
        return self.key_id

    def state(self, now: datetime) -> str:
        """One word for people: live, revoked, expired or not yet valid."""
        if self.revoked_at is not None:
            return "revoked"
        if now >= self.expires_at:
            return "expired"
        return "not yet valid" if now < self.not_before else "live"

    def secret_row(self) -> bytes:
        """What binds the encrypted secret to this row; known before the insert and never changed."""
        return self.key_id.encode()
