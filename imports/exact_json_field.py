"""A model field for JSON that comes back as it was written: fractions keep their digits, members their order."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import msgspec
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from msgspec import UNSET


class ExactJSONField(models.Field[Any, Any]):
    """A number with a fraction or an exponent is a Decimal. UNSET is no value (NULL), None is JSON's null.

    In PostgreSQL's type json and not jsonb, which rewrites numbers and sorts members.
    """

    description = "JSON"
    empty_strings_allowed = False

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return "json"

    def get_default(self) -> Any:
        return super().get_default() if self.has_default() else UNSET

    def get_prep_value(self, value: Any) -> str | None:
        value = super().get_prep_value(value)
        return None if value is UNSET else encode(value).decode()

    def select_format(self, compiler: Any, sql: str, params: Any) -> tuple[str, Any]:
        # As text: psycopg would read numbers as floats.
        return f"({sql})::text", params

    def from_db_value(self, value: str | None, expression: object, connection: BaseDatabaseWrapper) -> Any:
        return UNSET if value is None else decode(value)


encode: Final[Callable[[Any], bytes]] = msgspec.json.Encoder(decimal_format="number").encode
decode: Final[Callable[[str], Any]] = msgspec.json.Decoder(float_hook=Decimal).decode
