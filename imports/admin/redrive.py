from django.contrib import admin

from imports.admin.reading import ReadOnlyAdmin
from imports.models import Redrive


@admin.register(Redrive)
class RedriveAdmin(ReadOnlyAdmin[Redrive]):
    """Which failed records were tried again together, by whom, how far it is and how it went."""

    list_display = (
        "uuid",
        "customer",
        "state",
        "wanted_job",
        "wanted_code",
        "total",
        "succeeded",
        "failed_again",
        "left",
        "actor_id",
        "created_at",
    )
    list_select_related = ("customer", "wanted_job")
    list_filter = ("state",)
    search_fields = ("uuid__exact", "wanted_job__uuid__exact")
    search_help_text = "A whole redrive id or job id."
    concealed = ("wanted_job__metadata",)
    fields = (
        "uuid",
        "customer",
        "state",
        "state_reason",
        "wanted_job",
        "wanted_code",
        "wanted_type",
        "wanted_state",
        "sample",
        "per_second",
        "total",
        "released",
        "succeeded",
        "failed_again",
        "left",
        "actor_kind",
        "actor_id",
        "request_id",
        "created_at",
        "due_at",
        "finished_at",
    )
