"""A key may be allowed to erase one person's data."""

from django.db import migrations, models
from django.db.models import Q

BEFORE = ["imports:write", "imports:read", "records:read", "keys:rotate"]


def known(scopes: list[str]) -> models.CheckConstraint:
    return models.CheckConstraint(
        condition=Q(scopes__contained_by=scopes) & ~Q(scopes=[]), name="hmac_key_scopes_known"
    )


class Migration(migrations.Migration):
    dependencies = [("customers", "0005_customer_erased_at")]

    operations = [
        migrations.RemoveConstraint(model_name="hmackey", name="hmac_key_scopes_known"),
        migrations.AddConstraint(model_name="hmackey", constraint=known([*BEFORE, "records:erase"])),
    ]
