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

# For whoever may know what a record is about, and not whom.
MASKED: Final = "imports.view_masked_record"

COUNTED: Final = 10_000


class CappedPaginator(Paginator[Any]):
    """Counts to 10,000 and no further: counting a whole table would read it all. The newest rows come first."""

    @cached_property
    def count(self) -> int:
        rows = cast(models.QuerySet[Any], self.object_list)
        return rows[:COUNTED].count()


class ReadOnlyAdmin(admin.ModelAdmin[M]):
    """Nothing is added, changed or deleted here. Ciphertext is neither shown nor fetched: name it in `concealed`.

    `masked` fields show what a record says, masked, to those who have the permission MASKED; to others they are not
    even made.
    """

    concealed: tuple[str, ...] = ()
    masked: tuple[str, ...] = ()
    paginator = CappedPaginator
    show_full_result_count = False
    list_per_page = 50
    ordering = ("-id",)
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[M]:
        return super().get_queryset(request).defer(*self.concealed)

    def get_fields(self, request: HttpRequest, obj: M | None = None) -> list[Any]:
        fields = [field for field in super().get_fields(request, obj) if field not in self.concealed]
        return [*fields, *self.masked] if request.user.has_perm(MASKED) else fields

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


def as_written(text: str) -> SafeString:
    """With its lines and spaces, and as text whatever stands in it."""
    return format_html("<pre>{}</pre>", text)


def short_id(job: ImportJob) -> SafeString:
    """The beginning of a job's id, which tells one job of a page from another; the whole id on hovering."""
    return format_html('<span title="{}">{}</span>', job.uuid, str(job.uuid)[:8])
