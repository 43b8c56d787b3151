"""What of a record staff may see, by the classification of each field."""

from collections.abc import Callable
from typing import Any, Final

from msgspec import UNSET, Raw

from imports.mapping.definition import FieldRule, Mapping, MaskPattern
from imports.mapping.path import EVERY, Step, Steps, parse
from imports.mapping.pattern import MAX_TEXT, pattern

MASK: Final = "***"
MAX_SHOWN: Final = 64
UNNAMED: Final = "*"

Show = Callable[[Any], Any]


def full(value: Any) -> Any:
    """Nothing of a value but whether it is null."""
    return None if value is None else MASK


def partial(value: Any) -> Any:
    """A text's first and last two characters where it has eight or more, its first where it has four; never its length.

    Numbers are taken as their digits. Of lists, objects and truth values nothing is shown.
    """
    text = _text(value)
    if text is None:
        return full(value)
    if len(text) >= 8:
        return f"{text[:2]}{MASK}{text[-2:]}"
    return f"{text[:1]}{MASK}" if len(text) >= 4 else MASK


def custom(rule: MaskPattern) -> Show:
    """Each match replaced, at most MAX_SHOWN characters of the result; where nothing matches, nothing is shown."""
    search = pattern(rule.pattern)

    def show(value: Any) -> Any:
        text = _text(value)
        if text is None or len(text) > MAX_TEXT:
            return full(value)
        parts, at, count = [], 0, 0
        for match in search.finditer(text):
            parts += [text[at : match.start()], rule.by]
            at = match.end()
            count += 1
            if count == MAX_SHOWN:
                at = len(text)
                break
        return "".join([*parts, text[at:]])[:MAX_SHOWN] if count else MASK

    return show


class Masker:
    """Masks records of one mapping; without a mapping everything but id and type.

    public and internal fields are shown, confidential ones in part, restricted ones not at all, unless the rule's own
    mask says otherwise. Members that no rule names stand together under "*", since their names may be personal too.
    """

    def __init__(self, mapping: Mapping | None) -> None:
        self._mapped, self._came = _Node(), _Node()
        for rule in mapping.fields if mapping is not None else ():
            show, rank = _show(rule)
            self._mapped.add(parse(rule.target), show, rank)
            for source in (*(() if rule.source is UNSET else (rule.source,)), *rule.sources):
                self._came.add(parse(source), show, rank)

    def mask(self, mapped: dict[str, Any]) -> dict[str, Any]:
        """A mapped record {id, type, attributes, customFields}."""
        return _masked_record(mapped, self._mapped)

    def mask_source(self, record: dict[str, Any]) -> dict[str, Any]:
        """A record as it came. What several rules read is masked by the strictest; what expressions read, in full."""
        return _masked_record(record, self._came)


class _Node:
    def __init__(self) -> None:
        self.members: dict[Step, _Node] = {}
        self.show: Show | None = None
        self.rank = -1

    def add(self, steps: Steps, show: Show, rank: int) -> None:
        node = self
        for step in steps:
            node = node.members.setdefault(step, _Node())
        if rank > node.rank:
            node.show, node.rank = show, rank


def _show(rule: FieldRule) -> tuple[Show, int]:
    """(how the field's value is shown, how strict that is)."""
    if rule.mask is not UNSET:
        if rule.mask == "custom" and rule.mask_pattern is not UNSET:
            return custom(rule.mask_pattern), 2
        return (partial, 1) if rule.mask == "partial" else (full, 3)
    return {
        "public": (_as_is, 0),
        "internal": (_as_is, 0),
        "confidential": (partial, 1),
        "restricted": (full, 3),
    }[rule.classification]


def _as_is(value: Any) -> Any:
    return value


def _masked_record(record: dict[str, Any], root: _Node) -> dict[str, Any]:
    return {
        name: value if name in ("id", "type") else _masked(value, [root.members.get(name, _Node())])
        for name, value in record.items()
    }


def _masked(value: Any, nodes: list[_Node]) -> Any:
    strictest = max(nodes, key=lambda node: node.rank, default=None)
    if strictest is not None and strictest.rank > 0 and strictest.show is not None:
        return strictest.show(value)
    is_shown = strictest is not None and strictest.rank == 0
    if isinstance(value, dict):
        masked = {}
        for name, member in value.items():
            inner = [node.members[name] for node in nodes if name in node.members]
            if inner:
                masked[name] = _masked(member, [*inner, _SHOWN] if is_shown else inner)
            elif is_shown:
                masked[name] = member
            else:
                masked[UNNAMED] = MASK
        return masked
    if isinstance(value, list) and any(node.members for node in nodes):
        return [
            _masked(
                element,
                [
                    *(node.members[step] for node in nodes for step in (index, EVERY) if step in node.members),
                    *([_SHOWN] if is_shown else []),
                ],
            )
            for index, element in enumerate(value)
        ]
    return value if is_shown else full(value)


_SHOWN: Final = _Node()
_SHOWN.add((), _as_is, 0)


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, Raw):
        return bytes(value).decode()
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() < 4096:
        return str(value)
    return None
