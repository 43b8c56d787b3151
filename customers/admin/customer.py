from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone

from audit.trail import record
from customers import directory
from customers.admin.audited import AuditedAdmin
from customers.enrolment import EnrolmentError, enrol
from customers.models import Customer, HmacKey


@admin.register(Customer)
class CustomerAdmin(AuditedAdmin[Customer]):
    """Make a customer, change its limits and networks. Keys are issued on their own page."""

    list_display = ("name", "slug", "is_active", "live_keys", "max_concurrent_imports", "retention_days", "created_at")
    list_filter = ("is_active",)
    search_fields = ("name", "slug")
    prepopulated_fields = {"slug": ("name",)}
    fieldsets = (
        (None, {"fields": ("name", "slug", "is_active", "allowed_networks")}),
        (
            "Limits",
            {"fields": ("max_concurrent_imports", "bulk_per_minute", "status_per_minute", "validate_per_minute")},
        ),
        ("Keeping", {"fields": ("retention_days",)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Customer]:
        live = HmacKey.objects.live(timezone.now()).filter(customer=OuterRef("pk")).order_by()
        count = live.values("customer").annotate(count=Count("pk")).values("count")
        return super().get_queryset(request).annotate(live_key_count=Coalesce(Subquery(count), 0))

    def get_readonly_fields(self, request: HttpRequest, obj: Customer | None = None) -> tuple[str, ...]:
        # The trail and scripts name a customer by its slug.
        return ("slug",) if obj else ()

    def get_prepopulated_fields(self, request: HttpRequest, obj: Customer | None = None) -> dict[str, Any]:
        return {} if obj else dict(self.prepopulated_fields)

    @admin.display(description="live keys", ordering="live_key_count")
    def live_keys(self, customer: Customer) -> int:
        return int(getattr(customer, "live_key_count", 0))

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return super().changeform_view(request, *args, **kwargs)
        except EnrolmentError as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(request.path)

    def save_model(self, request: HttpRequest, obj: Customer, form: ModelForm[Customer], change: bool) -> None:
        if not change:
            enrol(obj)
            messages.info(request, f"Next: issue a key for {obj.name} under HMAC keys.")
            return
        if not form.changed_data:
            return
        obj.save(update_fields=form.changed_data)
        record(
            "customer.changed",
            target=f"customer:{obj.slug}",
            customer_id=obj.pk,
            detail={"fields": sorted(form.changed_data)},
        )
        transaction.on_commit(partial(directory.forget, None))
