"""What a record holds or once held, and where that came from."""

from django.db import models

from customers.models import DataKey
from imports.models.job import ImportJob


class Content(models.Model):
    """(changed_job, changed_index) brought the content; (origin_job, origin_index) is its last sighting.

    Foreign keys carry no constraint, since each costs a look-up a row.
    """

    payload = models.BinaryField(help_text="The record as canonical JSON, encrypted")
    fingerprint = models.BinaryField(help_text="HMAC of the canonical JSON, 32 bytes")
    data_key = models.ForeignKey(
        DataKey, on_delete=models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False
    )
    origin_job = models.ForeignKey(
        ImportJob, on_delete=models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False
    )
    origin_index = models.IntegerField()
    changed_job = models.ForeignKey(
        ImportJob, on_delete=models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False
    )
    changed_index = models.IntegerField(help_text="Index in changed_job of the record that last changed the content")
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField(help_text="When the content last changed")
    confirmed_count = models.IntegerField(
        default=0, db_default=0, help_text="How many later records brought the same content"
    )
    is_undone = models.BooleanField(
        default=False, db_default=False, help_text="The import that brought it was undone; those that confirmed it not"
    )
    has_superseded = models.BooleanField(
        default=False, db_default=False, help_text="An older import's record was left out because this one was there"
    )

    class Meta:
        abstract = True
