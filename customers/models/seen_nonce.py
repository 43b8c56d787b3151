from django.db import models


class SeenNonce(models.Model):
    """A nonce of a signed call that wrote something; it makes replay protection outlive a loss of Valkey."""

    key_id = models.CharField(max_length=40)
    nonce = models.CharField(max_length=64)
    expires_at = models.DateTimeField(help_text="When the sweeper may forget it: no signature is valid that long.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["key_id", "nonce"], name="seen_nonce_unique")]
        indexes = [models.Index(fields=["expires_at"], name="seen_nonce_expires_at")]

    def __str__(self) -> str:
        return f"{self.key_id} {self.nonce}"
