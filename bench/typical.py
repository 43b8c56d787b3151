"""The twelve fields of bench/mapping.py with masks and a stricter schema, for each type of bench/body.py."""

from typing import Any, Final

import msgspec

from bench.mapping import FIELDS, mapping

_MASKS: Final[dict[str, dict[str, Any]]] = {
    "attributes.name": {"classification": "confidential"},
    "attributes.contact.email": {
        "classification": "confidential",
        "mask": "custom",
        "mask_pattern": {"pattern": "^[^@]+", "by": "***"},
    },
    "attributes.contact.phone": {"classification": "restricted"},
    "customFields.crmRef": {"transforms": [{"name": "mask", "arguments": {"how": "partial"}}]},
}

_SCHEMA: Final = {
    "type": "object",
    "required": ["id", "type", "attributes"],
    "properties": {
        "attributes": {
            "type": "object",
            "required": ["name", "contact", "balance", "active"],
            "properties": {
                "name": {"type": "string", "minLength": 1, "maxLength": 200},
                "contact": {
                    "type": "object",
                    "required": ["email"],
                    "properties": {
                        "email": {"type": "string", "pattern": "^[^@ ]+@[^@ ]+$", "maxLength": 254},
                        "phone": {"type": "string", "pattern": "^\\+[0-9]{6,15}$"},
                    },
                    "additionalProperties": False,
                },
                "address": {"type": "object", "properties": {"city": {"type": "string", "maxLength": 100}}},
                "balance": {"type": "number", "minimum": 0, "maximum": 1_000_000},
                "active": {"type": "boolean"},
                "customerSince": {"type": "string", "format": "date"},
                "segment": {"enum": ["E", "M", "S", "P"]},
            },
        },
        "customFields": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 1024}},
    },
}

MAPPINGS: Final = tuple(
    msgspec.structs.replace(
        mapping(fields=[rule | _MASKS.get(rule["target"], {}) for rule in FIELDS], schema=_SCHEMA), type=record_type
    )
    for record_type in ("customer", "order", "product")
)
