"""A model field for one network, in PostgreSQL's own type."""

import ipaddress
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper


class CidrField(models.Field[str, str]):
    """One IPv4 or IPv6 network, in PostgreSQL's own type, so that no row can hold anything else."""

    description = "Network"

    @staticmethod
    def canonical(value: object) -> str:
        """The network's one spelling; ValidationError says what is wrong and what may be meant."""
        text = str(value).strip()
        try:
            return str(ipaddress.ip_network(text))
        except ValueError:
            pass
        try:
            meant = ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise ValidationError(f"{text!r} is no network; write for example 192.0.2.0/24 or 2001:db8::/32.") from None
        raise ValidationError(f"{text!r} has bits set to the right of its prefix; do you mean {meant}?")

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return "cidr"

    def cast_db_type(self, connection: BaseDatabaseWrapper) -> str:
        return "cidr"

    def to_python(self, value: Any) -> Any:
        return None if value is None else self.canonical(value)

    def validate(self, value: Any, model_instance: models.Model | None) -> None:
        # An ArrayField validates its items and never turns them into Python values.
        self.canonical(value)

    def get_prep_value(self, value: Any) -> Any:
        return self.to_python(super().get_prep_value(value))

    def from_db_value(self, value: Any, expression: object, connection: BaseDatabaseWrapper) -> str | None:
        return None if value is None else str(value)

    def formfield(self, **kwargs: Any) -> Any:
        # Checked in the form too: there an ArrayField's form field shows its message, and not the model's.
        return super().formfield(**{"form_class": forms.CharField, "validators": [self.canonical], **kwargs})
