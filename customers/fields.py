"""A model field for secrets that must be read back.

`EncryptedTextField` is assigned a str and seals it when the row is saved, under the secret key of
`instance.customer`, bound to table, column and `instance.secret_row()`. Reading the attribute gives a `Secret`,
whose text only `.reveal()` returns.
"""

from typing import Any, NoReturn, Protocol, cast

from django.core import checks
from django.core.exceptions import FieldError
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.query_utils import DeferredAttribute


class SecretOwner(Protocol):
    """What a model with an EncryptedTextField has: whose key seals, and a row key known before the insert."""

    customer_id: int

    def secret_row(self) -> bytes: ...


class _Hidden:
    """A value whose every printed form is the same, and which neither sorts nor compares by content."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__


class _Sealed(_Hidden):
    """What the database holds."""

    __slots__ = ("blob",)

    def __init__(self, blob: bytes) -> None:
        self.blob = blob


class _Pending(_Hidden):
    """A text that was assigned and not saved yet; it never leaves the process."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __reduce__(self) -> NoReturn:
        raise TypeError("A secret that is not saved yet is not pickled.")

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Pending":
        return self


class Secret(_Hidden):
    """The value of an EncryptedTextField. Printing, formatting and pickling it show nothing."""

    __slots__ = ("_field", "_instance", "_state")

    def __init__(self, instance: models.Model, field: "EncryptedTextField", state: _Sealed | _Pending) -> None:
        self._instance = instance
        self._field = field
        self._state = state

    def reveal(self) -> str:
        """The text; raises customers.cipher.DecryptionError where it was not sealed for this very row."""
        if isinstance(self._state, _Pending):
            return self._state.text
        return self._field.open(self._instance, self._state.blob)

    def __reduce__(self) -> NoReturn:
        raise TypeError("A secret is not pickled.")


class _SecretAttribute(DeferredAttribute):
    """Turns what was assigned or loaded into a hidden state, and that into a Secret bound to its instance."""

    field: "EncryptedTextField"

    def __get__(self, instance: models.Model | None, cls: type[models.Model] | None = None) -> Any:
        if instance is None:
            return self
        state = super().__get__(instance, cls)
        return Secret(instance, self.field, state) if isinstance(state, _Sealed | _Pending) else state

    def __set__(self, instance: models.Model, value: object) -> None:
        instance.__dict__[self.field.attname] = self._state(instance, value)

    def _state(self, instance: models.Model, value: object) -> object:
        if isinstance(value, str):
            return _Pending(value)
        if isinstance(value, Secret):
            if isinstance(value._state, _Pending) and value._instance is not instance:
                raise TypeError("A secret of another row is not assigned; reveal() it first.")
            return value._state
        if value is None or isinstance(value, _Sealed):
            return value
        # An expression would be stored unencrypted, and bytes are a ciphertext for who knows which row.
        raise TypeError(f"{self.field.name} takes a str, and not {type(value).__name__}.")


class EncryptedTextField(models.Field[Any, Any]):
    """A text in a bytea column, encrypted for its customer, table, column and row. It cannot be searched."""

    description = "Encrypted text"
    descriptor_class = _SecretAttribute
    empty_strings_allowed = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("editable", False)
        super().__init__(*args, **kwargs)

    def get_internal_type(self) -> str:
        return "BinaryField"

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        return [*super().check(**kwargs), *self._check_owner()]

    def get_lookup(self, lookup_name: str) -> NoReturn:
        raise FieldError(f"{self.name} is encrypted, so nothing can be looked up by it.")

    def get_transform(self, name: str) -> NoReturn:
        raise FieldError(f"{self.name} is encrypted, so nothing can be looked up by it.")

    def from_db_value(self, value: Any, expression: object, connection: BaseDatabaseWrapper) -> _Sealed | None:
        return None if value is None else _Sealed(bytes(value))

    def to_python(self, value: Any) -> Any:
        return value

    def get_prep_value(self, value: Any) -> Any:
        if value is None or isinstance(value, _Sealed):
            return value
        raise TypeError(f"{self.name} is written by saving its row, since only a row can be sealed for.")

    def get_db_prep_value(self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False) -> Any:
        sealed = self.get_prep_value(value)
        return None if sealed is None else sealed.blob

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        state = model_instance.__dict__.get(self.attname)
        if isinstance(state, _Pending):
            state = _Sealed(self.seal(model_instance, state.text))
            model_instance.__dict__[self.attname] = state
        elif isinstance(state, _Sealed):
            # Copied from another row, or the row key changed since: better refused now than unreadable later.
            self.open(model_instance, state.blob)
        return state

    def value_to_string(self, obj: models.Model) -> NoReturn:
        raise TypeError(f"{self.name} is not serialised; use pg_dump, which keeps the ciphertext.")

    def seal(self, instance: models.Model, text: str) -> bytes:
        """The ciphertext of a text for this row."""
        from customers.keyring import hold, keyring  # they read models, and a model holds this field

        owner = cast(SecretOwner, instance)
        sealer = keyring(owner.customer_id).sealer(*self._place(), purpose="secret")
        hold(owner.customer_id, [sealer.data_key_id])
        return sealer.seal(text.encode(), owner.secret_row())

    def open(self, instance: models.Model, blob: bytes) -> str:
        """The text of a ciphertext of this row."""
        from customers.keyring import keyring

        owner = cast(SecretOwner, instance)
        opener = keyring(owner.customer_id).opener(*self._place(), purpose="secret")
        return opener.open(blob, owner.secret_row()).decode()

    def _place(self) -> tuple[str, str]:
        return self.model._meta.db_table, str(self.column)

    def _check_owner(self) -> list[checks.CheckMessage]:
        if hasattr(self.model, "customer") and callable(getattr(self.model, "secret_row", None)):
            return []
        hint = "Give it a foreign key `customer` and a method secret_row() -> bytes, known before the insert."
        return [
            checks.Error("A model with an EncryptedTextField has no owner.", hint=hint, obj=self, id="longshore.E020")
        ]
