from django.contrib import admin
from django.http import HttpRequest

from customers.models import DataKey


@admin.register(DataKey)
class DataKeyAdmin(admin.ModelAdmin[DataKey]):
    """What keys there are and which master key wraps them; never the wrapped bytes, and nothing to change."""

    list_display = ("id", "customer", "purpose", "version", "state", "kek_id", "created_at")
    list_filter = ("purpose", "state", "kek_id")
    list_select_related = ("customer",)
    search_fields = ("customer__name", "customer__slug")
    fields = ("customer", "purpose", "version", "state", "kek_id", "created_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: DataKey | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: DataKey | None = None) -> bool:
        return False
