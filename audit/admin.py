"""The trail in the admin: read it, filter it by action, find a target or a request; nothing else."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from audit.models import AuditEvent, actions


class ActionFilter(admin.SimpleListFilter):
    title = "action"
    parameter_name = "action"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(action, action) for action in actions()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
        return queryset.filter(action=self.value()) if self.value() else queryset


@admin.register(AuditEvent)
class AuditEventAdmin(admin.ModelAdmin[AuditEvent]):
    list_display = (
        "sequence",
        "at",
        "action",
        "target",
        "actor_kind",
        "actor_id",
        "record_count",
        "source_ip",
        "request_id",
    )
    list_filter = (ActionFilter,)
    # Whole values only: they are found by index, and a search for a part would read the entire trail.
    search_fields = ("target__exact", "request_id__exact")
    search_help_text = "A whole target, such as customer:acme, or a whole request id."
    sortable_by = ()
    show_full_result_count = False
    readonly_fields = ("hash_hex", "previous_hash_hex")

    @admin.display(description="hash")
    def hash_hex(self, event: AuditEvent) -> str:
        return bytes(event.hash).hex()

    @admin.display(description="previous hash")
    def previous_hash_hex(self, event: AuditEvent) -> str:
        return bytes(event.previous_hash).hex()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: AuditEvent | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: AuditEvent | None = None) -> bool:
        return False
