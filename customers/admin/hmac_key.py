from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from customers.admin.audited import AuditedAdmin
from customers.enrolment import LIFETIME_DAYS, IssuedKey, issue_key, revoke_key
from customers.models import HmacKey
from customers.scopes import ALL_SCOPES, DEFAULT_SCOPES

_ISSUED = "_longshore_issued_key"


class IssueForm(forms.ModelForm[HmacKey]):
    """What is asked for a new key; its id and secret are made, never typed."""

    expires_in_days = forms.IntegerField(min_value=1, max_value=366, initial=LIFETIME_DAYS)
    scopes = forms.MultipleChoiceField(
        choices=[(scope, scope) for scope in ALL_SCOPES],
        initial=list(DEFAULT_SCOPES),
        widget=forms.CheckboxSelectMultiple,
        help_text="What calls signed with this key may do.",
    )

    class Meta:
        model = HmacKey
        fields = ("customer", "label", "scopes")


@admin.register(HmacKey)
class HmacKeyAdmin(AuditedAdmin[HmacKey]):
    """Issue a key, see the keys there are, revoke one. Nothing of a key is edited, and no secret is shown again."""

    list_display = ("key_id", "customer", "label", "state", "expires_at", "last_used_at", "last_used_ip")
    list_filter = (("revoked_at", admin.EmptyFieldListFilter), "expires_at")
    list_select_related = ("customer",)
    search_fields = ("key_id__exact", "label", "customer__name", "customer__slug")
    autocomplete_fields = ("customer",)
    actions = ("revoke",)
    fields = (
        "key_id",
        "customer",
        "label",
        "scopes",
        "state",
        "not_before",
        "expires_at",
        "revoked_at",
        "last_used_at",
        "last_used_ip",
        "created_at",
    )
    readonly_fields = ("state",)

    @admin.display(description="state")
    def state(self, key: HmacKey) -> str:
        return key.state(timezone.now())

    def get_form(
        self, request: HttpRequest, obj: HmacKey | None = None, change: bool = False, **kwargs: Any
    ) -> type[forms.ModelForm[HmacKey]]:
        if obj is None:
            kwargs["form"] = IssueForm
        return super().get_form(request, obj, change=change, **kwargs)

    def get_fields(self, request: HttpRequest, obj: HmacKey | None = None) -> tuple[str, ...]:
        return self.fields if obj else ("customer", "label", "expires_in_days", "scopes")

    def has_change_permission(self, request: HttpRequest, obj: HmacKey | None = None) -> bool:
        return False

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("customers.change_hmackey")

    def save_model(self, request: HttpRequest, obj: HmacKey, form: forms.ModelForm[HmacKey], change: bool) -> None:
        issued = issue_key(
            obj.customer,
            label=obj.label,
            expires_in_days=form.cleaned_data["expires_in_days"],
            scopes=form.cleaned_data["scopes"],
        )
        # Django goes on with this object: its log and its answer name the key that was made.
        obj.pk, obj.key_id = issued.key.pk, issued.key.key_id
        setattr(request, _ISSUED, issued)

    def response_add(self, request: HttpRequest, obj: HmacKey, post_url_continue: str | None = None) -> HttpResponse:
        """The secret, in this very answer, which the admin forbids to cache: a redirect would have to store it."""
        issued: IssuedKey = getattr(request, _ISSUED)
        context = {**self.admin_site.each_context(request), "opts": self.opts, "title": "Key issued", "issued": issued}
        return TemplateResponse(request, "admin/customers/hmackey/issued.html", context)

    @admin.action(description="Revoke the selected keys for good", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[HmacKey]) -> None:
        revoked = [key.key_id for key in queryset.order_by("pk") if revoke_key(key)]
        if revoked:
            messages.success(request, f"Revoked: {', '.join(revoked)}. Every process refuses them within a second.")
        else:
            messages.info(request, "The selected keys were revoked before; nothing changed.")
