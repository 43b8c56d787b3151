"""What the mappings command prints for a person, and the JSON it prints for a program."""

from typing import Any, Final

import msgspec
from msgspec import UNSET

from imports.mapping.difference import Change, Difference
from imports.mapping_plan import Step
from imports.models import Mapping

_LONGEST: Final = 60

to_json: Final = msgspec.json.Encoder(decimal_format="number").encode


def describe(version: Mapping) -> dict[str, Any]:
    """A version without its content; times as ISO 8601."""
    return {
        "customer": version.customer.slug,
        "type": version.record_type,
        "version": version.version,
        "state": version.state,
        "basedOn": version.based_on,
        "note": version.note,
        "createdAt": version.created_at,
        "createdBy": version.created_by,
        "publishedAt": version.published_at,
        "publishedBy": version.published_by or None,
        "archivedAt": version.archived_at,
        "archivedBy": version.archived_by or None,
    }


def headline(version: Mapping) -> str:
    """One line: which version it is, and who did the last thing to it, and when."""
    if version.archived_at is not None:
        last = f"archived {version.archived_at:%Y-%m-%d %H:%M} by {version.archived_by}"
    elif version.published_at is not None:
        last = f"published {version.published_at:%Y-%m-%d %H:%M} by {version.published_by}"
    else:
        last = f"draft of {version.created_at:%Y-%m-%d %H:%M} by {version.created_by}"
    note = f" ({version.note})" if version.note else ""
    return f"{version.customer.slug} {version.record_type} version {version.version}, {last}{note}"


def step_lines(step: Step, *, is_done: bool) -> list[str]:
    """What applying does, or did, to one mapping, and what that changes."""
    name = f"{step.customer} {step.type}"
    instead = f" in place of {step.replaces}" if step.replaces else ""
    if step.action == "unchanged":
        return [f"{name}: unchanged, version {step.version} says the same"]
    acts = {
        "publish": ("publish draft {}", "draft {} is published"),
        "create": ("create and publish version {}", "version {} is published"),
        "draft": ("create version {} as a draft", "version {} is a draft"),
    }
    act = acts[step.action][is_done].format(step.version)
    changes = difference_lines(step.difference) if step.difference is not None else ["  a first mapping for this type"]
    return [f"{name}: {act}{'' if step.action == 'draft' else instead}", *changes]


def difference_lines(difference: Difference) -> list[str]:
    """+ added, - removed, ~ changed."""
    return [
        *(f"  + {target}" for target in difference.fields_added),
        *(f"  - {target}" for target in difference.fields_removed),
        *map(_change, difference.fields_changed),
        *(f"  + rule {code}" for code in difference.rules_added),
        *(f"  - rule {code}" for code in difference.rules_removed),
        *(_change(change, of="rule ") for change in difference.rules_changed),
        *(_change(change, of="schema ") for change in difference.schema_changed),
        *map(_change, difference.settings_changed),
    ]


def _change(change: Change, of: str = "") -> str:
    place = f"{of}{change.place or ('' if of else 'mapping')}".strip()
    attribute = "" if change.attribute == "schema" else f" {change.attribute}"
    return f"  ~ {place}{attribute}: {_value(change.before)} -> {_value(change.after)}"


def _value(value: Any) -> str:
    text = "none" if value is UNSET else to_json(value).decode()
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
