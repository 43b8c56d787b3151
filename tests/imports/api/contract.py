"""The published OpenAPI document, as something that a real answer can be held against."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from jsonschema import Draft202012Validator, FormatChecker  # type: ignore[import-untyped]

from tests.imports.api.wire import Answer

Operation = tuple[str, str]
"""(method, path as the document spells it)."""

formats = FormatChecker(())


@formats.checks("date-time", raises=ValueError)
def is_time(value: object) -> bool:
    """RFC 3339 in UTC to the millisecond, as docs/ promise."""
    if not isinstance(value, str):
        return True
    datetime.fromisoformat(value)
    return re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", value) is not None


@formats.checks("uuid", raises=ValueError)
def is_uuid(value: object) -> bool:
    return not isinstance(value, str) or str(UUID(value)) == value


@dataclass(slots=True)
class Contract:
    """Notes which answers it has seen, so that none of the document's own goes without a real one."""

    document: dict[str, Any]
    seen: set[tuple[str, str, str]] = field(default_factory=set)

    def check(self, answer: Answer, method: str, target: str) -> Answer:
        """Fails where the document does not name this answer's status and media type, or its body is another."""
        path = self.path_of(method, target.partition("?")[0])
        assert path, f"{method} {target} is not in the document"
        responses = self.document["paths"][path][method.lower()]["responses"]
        assert str(answer.status) in responses, f"{method} {path} does not name {answer.status}: {answer.body!r}"
        content = responses[str(answer.status)].get("content", {})
        media_type = answer.headers.get("content-type", "").partition(";")[0]
        assert media_type in content, f"{method} {path} does not name {media_type}"
        for value in values_of(answer, media_type):
            self.validate(value, content[media_type]["schema"])
        self.seen.add((method, path, str(answer.status)))
        return answer

    def validate(self, value: Any, schema: dict[str, Any]) -> None:
        whole = closed({"components": self.document["components"], **schema})
        Draft202012Validator(whole, format_checker=formats).validate(value)

    def path_of(self, method: str, target: str) -> str | None:
        """The path template of a target; one without a parameter goes before one with."""
        for path in sorted(self.document["paths"], key=lambda path: path.count("{")):
            pattern = re.sub(r"\{\w+\}", "[^/]+", path)
            if re.fullmatch(pattern, target) and method.lower() in self.document["paths"][path]:
                return str(path)
        return None

    def unseen(self) -> set[tuple[str, str, str]]:
        """Every answer of success that the document names and nobody gave."""
        named = {
            (method.upper(), path, status)
            for path, operations in self.document["paths"].items()
            for method, operation in operations.items()
            for status in operation["responses"]
            if status.startswith("2")
        }
        return named - self.seen


def values_of(answer: Answer, media_type: str) -> Iterator[Any]:
    """What stands in the answer: one JSON value, one a line, or a text."""
    if media_type.endswith("ndjson"):
        yield from (json.loads(line) for line in answer.body.splitlines())
    elif media_type.endswith("json"):
        yield answer.json
    else:
        yield answer.body.decode()


def closed(schema: Any) -> Any:
    """The same schema with objects that take no member they do not name: what is not documented is found too."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: closed(value) for name, value in schema.items()}
    if schema.get("type") == "object" and "properties" in schema:
        inner.setdefault("additionalProperties", False)
    return inner
