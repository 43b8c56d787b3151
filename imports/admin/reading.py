"""What all pages of this app share: they read, and they stay quick however large their table is."""

from functools import cached_property
from typing import Any, Final, TypeVar, cast
from urllib.parse import urlencode

from django.contrib import admin
from django.core.paginator import Paginator
from django.db import models
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from imports.models import ImportJob

M = TypeVar("M", bound=models.Model)

COUNTED: Final = 10_000


class CappedPaginator(Paginator[Any]):
    """Counts to 10,000 and no further: counting a whole table would read it all. The newest rows come first."""

    @cached_property
    def count(self) -> int:
        rows = cast(models.QuerySet[Any], self.object_list)
        return rows[:COUNTED].count()


class ReadOnlyAdmin(admin.ModelAdmin[M]):
    """Nothing is added, changed or deleted here. Ciphertext is neither shown nor fetched: name it in `concealed`."""

    concealed: tuple[str, ...] = ()
    paginator = CappedPaginator
    show_full_result_count = False
    list_per_page = 50
    ordering = ("-id",)
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[M]:
        return super().get_queryset(request).defer(*self.concealed)

    def get_fields(self, request: HttpRequest, obj: M | None = None) -> list[Any]:
        return [field for field in super().get_fields(request, obj) if field not in self.concealed]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False


def link_to_list(model: type[models.Model], text: str, **filters: Any) -> SafeString:
    """A link to the list of `model`, narrowed by `filters`."""
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    return format_html('<a href="{}?{}">{}</a>', address, urlencode(filters), text)


def short_id(job: ImportJob) -> SafeString:
    """The beginning of a job's id, which tells one job of a page from another; the whole id on hovering."""
    return format_html('<span title="{}">{}</span>', job.uuid, str(job.uuid)[:8])
