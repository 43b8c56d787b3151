from django.contrib.postgres.functions import TransactionNow
from django.db import models
from django.db.models import Q

from customers.cipher import MAX_DATA_KEY_ID
from customers.models.customer import Customer


class DataKeyQuerySet(models.QuerySet["DataKey"]):
    def usable(self) -> "DataKeyQuerySet":
        """Those that still open something."""
        return self.exclude(state=DataKey.State.DESTROYED)

    def retired(self) -> "DataKeyQuerySet":
        """Those whose ciphertexts are to be re-encrypted, the one retired first leading."""
        return self.filter(state=DataKey.State.DECRYPT_ONLY).order_by("retired_at", "pk")


class DataKey(models.Model):
    """One version of a customer's key for one purpose, wrapped by a master key that is never in here."""

    class Purpose(models.TextChoices):
        RECORD = "record", "records and payloads"
        SECRET = "secret", "secrets we read back"
        INDEX = "index", "blind index and fingerprints"

    class State(models.TextChoices):
        ACTIVE = "active", "active: the newest one encrypts"
        DECRYPT_ONLY = "decrypt_only", "decrypts only, until its ciphertexts are re-encrypted"
        DESTROYED = "destroyed", "destroyed: what it encrypted is gone for good"

    # The unique constraint's index begins with the customer, so a second one would only cost.
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="data_keys", db_index=False)
    purpose = models.CharField(max_length=8, choices=Purpose.choices, help_text="What this key encrypts.")
    version = models.PositiveIntegerField(
        default=1, help_text="Counts up with each rotation; the index key stays at 1."
    )
    wrapped = models.BinaryField(
        null=True, editable=False, help_text="The key, encrypted by the master key. Empty once destroyed."
    )
    kek_id = models.CharField(max_length=40, help_text="Id of the master key in MASTER_KEYS that wraps this key.")
    state = models.CharField(max_length=12, choices=State.choices, default=State.ACTIVE)
    retired_at = models.DateTimeField(null=True, editable=False, help_text="When a newer version took its place.")
    emptied_at = models.DateTimeField(
        null=True, editable=False, help_text="Since when no ciphertext under this key has been found."
    )
    # The start of the transaction that made the key: the key ring tells by it whether the key is committed.
    created_at = models.DateTimeField(db_default=TransactionNow(), editable=False)

    objects = DataKeyQuerySet.as_manager()

    class Meta:
        ordering = ["customer_id", "purpose", "version"]
        constraints = [
            models.UniqueConstraint(fields=["customer", "purpose", "version"], name="data_key_version_unique"),
            models.CheckConstraint(condition=Q(version__gte=1), name="data_key_version_from_one"),
            models.CheckConstraint(
                condition=Q(id__gte=1, id__lte=MAX_DATA_KEY_ID), name="data_key_id_fits_the_ciphertext_header"
            ),
            models.CheckConstraint(
                condition=Q(purpose__in=["record", "secret", "index"]), name="data_key_purpose_known"
            ),
            models.CheckConstraint(
                condition=Q(state="destroyed", wrapped__isnull=True)
                | Q(state__in=["active", "decrypt_only"], wrapped__isnull=False),
                name="data_key_wrapped_until_destroyed",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.purpose} key, version {self.version}"
