"""A mapping of twelve typical fields for the records of bench/body.py, with a schema and masks."""

from typing import Final

from imports.mapping.definition import FieldRule, Mapping, MaskPattern, Transform

_TRIM: Final = Transform("trim")

_FIELDS: Final = (
    FieldRule(
        target="attributes.fullName",
        type="string",
        source="attributes.name",
        transforms=(_TRIM,),
        mandatory=True,
        classification="confidential",
    ),
    FieldRule(
        target="attributes.contact.email",
        type="string",
        source="attributes.email",
        transforms=(_TRIM, Transform("lower")),
        classification="confidential",
        mask="custom",
        mask_pattern=MaskPattern("^[^@]+", "***"),
    ),
    FieldRule(
        target="attributes.contact.phone",
        type="string",
        source="attributes.phone",
        transforms=(Transform("replace", {"text": " ", "by": ""}),),
        classification="restricted",
    ),
    FieldRule(target="attributes.address.street", type="string", source="attributes.street", transforms=(_TRIM,)),
    FieldRule(target="attributes.address.city", type="string", source="attributes.city", transforms=(_TRIM,)),
    FieldRule(target="attributes.balance", type="decimal", source="attributes.balance", mandatory=True),
    FieldRule(target="attributes.isActive", type="boolean", source="attributes.active", default=False),
    FieldRule(target="attributes.customerSince", type="date", source="attributes.since"),
    FieldRule(
        target="attributes.segment",
        type="enum",
        values=("ENT", "MID", "SMB", "PUB"),
        source="customFields.segment",
        transforms=(
            Transform("lookup", {"table": {"enterprise": "ENT", "mid-market": "MID", "small": "SMB", "public": "PUB"}}),
        ),
    ),
    FieldRule(
        target="customFields.agent",
        type="string",
        source="customFields.owner",
        transforms=(Transform("prefix", {"text": "crm/"}),),
    ),
    FieldRule(
        target="customFields.reference",
        type="string",
        source="customFields.externalRef",
        transforms=(Transform("mask", {"how": "partial"}),),
    ),
    FieldRule(target="attributes.note", type="string", source="customFields.note", absent="blank"),
)

_SCHEMA: Final = {
    "type": "object",
    "required": ["id", "type", "attributes"],
    "properties": {
        "attributes": {
            "type": "object",
            "required": ["fullName", "balance", "isActive"],
            "properties": {
                "fullName": {"type": "string", "minLength": 1, "maxLength": 200},
                "contact": {
                    "type": "object",
                    "properties": {
                        "email": {"type": "string", "pattern": "^[^@ ]+@[^@ ]+$"},
                        "phone": {"type": "string", "pattern": "^\\+[0-9]{6,15}$"},
                    },
                    "additionalProperties": False,
                },
                "address": {"type": "object", "properties": {"city": {"type": "string", "maxLength": 100}}},
                "balance": {"type": "number", "minimum": 0, "maximum": 1_000_000},
                "isActive": {"type": "boolean"},
                "customerSince": {"type": "string", "format": "date"},
                "segment": {"enum": ["ENT", "MID", "SMB", "PUB"]},
            },
        },
        "customFields": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 1024}},
    },
}

MAPPINGS: Final = tuple(
    Mapping(type=record_type, fields=_FIELDS, unmapped="refuse", schema=_SCHEMA)
    for record_type in ("customer", "order", "product")
)
