"""Why one record does not fit its mapping. No value of the record stands in any message."""

from dataclasses import dataclass, field
from typing import Final

MAX_PROBLEMS: Final = 20

CODES: Final[dict[str, str]] = {
    "field_missing": "This field is mandatory and has no value.",
    "wrong_type": "The value cannot become this field's data type.",
    "source_shape": "The source path expects an object or a list where something else stands.",
    "number_not_exact": "The expression's number has more than 15 digits and may be rounded; use a source path.",
    "number_out_of_range": "The number has too many digits or too large an exponent.",
    "number_endless": "The quotient has no end; say to how many places it is rounded.",
    "not_a_number": "This is not a number in the stated notation.",
    "not_a_date": "This is not a date or time in any of the stated formats.",
    "time_does_not_exist": "Clocks were put forward over this local time: it never was.",
    "time_is_ambiguous": "Clocks were put back over this local time: it was twice.",
    "zone_missing": "A point in time needs a zone or an offset.",
    "not_in_enum": "The value is none of the values of this field.",
    "not_in_table": "The value is not in the lookup table.",
    "not_a_phone_number": "This is no possible telephone number of the region.",
    "not_an_email": "This is not an e-mail address.",
    "not_a_country": "This is no country's name or code.",
    "text_too_long": "The text grew over the limit of 1,048,576 characters.",
    "wrong_list": "The list holds something that is not text.",
    "expression_failed": "The expression failed on this record.",
    "expression_limit": "The expression used up its limit of time, steps or memory.",
    "condition_not_boolean": "The condition gave neither true nor false.",
    "unmapped_field": "The mapping has no rule for this field and refuses such fields.",
    "unmapped_conflict": "A field that is kept as it came has the name of a field that a rule writes.",
    "custom_field_too_long": "A custom field's value may have at most 1024 characters.",
    "too_many_custom_fields": "A record may have at most 50 custom fields.",
    "mapped_too_large": "The mapped record has more than 1,048,576 bytes.",
    "schema": "The mapped record breaks the JSON Schema here.",
}
"""Every code a record can fail with in its mapping; record rules bring their own code and message."""


@dataclass(frozen=True, slots=True)
class Problem:
    """`pointer` is in the record as it came ("" where an expression reads many places), `target` in the mapped one.

    `field_index` says whose field's value it is, by the field's place in the mapping; None where it is of no one field.
    """

    code: str
    pointer: str
    target: str
    message: str
    field_index: int | None = field(default=None, compare=False)


class Unfit(Exception):
    """Raised by a step for the value it was given; `code` is one of CODES."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def problem(code: str, pointer: str = "", target: str = "", field_index: int | None = None) -> Problem:
    return Problem(code, pointer, target, CODES[code], field_index)
