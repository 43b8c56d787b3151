from django.contrib import admin
from django.utils.safestring import SafeString

from imports.admin.reading import ReadOnlyAdmin, as_written, short_id
from imports.masking import masked_record
from imports.models import Record


@admin.register(Record)
class RecordAdmin(ReadOnlyAdmin[Record]):
    """That an entity is stored, where its content comes from, and what it says with its values masked.

    The number is the blind index of its business id, of use only beside the customer's index key.
    """

    list_display = (
        "id",
        "customer",
        "type",
        "short_index",
        "seen_in",
        "changed_in",
        "created_at",
        "updated_at",
    )
    list_select_related = ("customer", "origin_job", "changed_job")
    list_filter = ("type",)
    concealed = ("payload", "fingerprint", "origin_job__metadata", "changed_job__metadata")
    fields = (
        "customer",
        "type",
        "blind_index",
        "origin_job",
        "origin_index",
        "changed_job",
        "changed_index",
        "data_key",
        "created_at",
        "updated_at",
    )

    masked = ("content",)

    @admin.display(description="content, masked")
    def content(self, record: Record) -> SafeString:
        return as_written(masked_record(record))

    @admin.display(description="blind index")
    def blind_index(self, record: Record) -> str:
        return bytes(record.key).hex()

    @admin.display(description="blind index")
    def short_index(self, record: Record) -> str:
        return bytes(record.key).hex()[:8]

    @admin.display(description="last seen in job")
    def seen_in(self, record: Record) -> SafeString:
        return short_id(record.origin_job)

    @admin.display(description="last changed by job")
    def changed_in(self, record: Record) -> SafeString:
        return short_id(record.changed_job)
