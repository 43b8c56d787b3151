"""Mappings as files."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imports.mapping.definition import FieldRule, Mapping, RecordRule, Transform
from imports.mapping.document import Owned, dump, load
from imports.mapping.mistake import UnfitMapping
from imports.mapping.tree import MAX_BYTES, read_tree

DOCUMENT = """
# Comments are for people; they do not come back.
mappings:
  - customer: northwind
    type: customer
    unmapped: keep
    ignored: [attributes.note]
    fields:
      - target: attributes.country
        source: attributes.country
        type: string
        default: NO
        transforms:
          - trim
          - lookup: {table: {"no": NO, 1: "2024-03-15"}, else: null}
          - conditional:
              when: {equals: NO}
              then: [upper, {prefix: {text: "007"}}]
      - {target: attributes.name, sources: [attributes.a, attributes.b], type: list, mandatory: true}
    rules:
      - {code: named, that: $exists(attributes.name), message: A name is needed.}
    schema: {properties: {attributes: {properties: {price: {multipleOf: 0.01}}}}}
  - type: customer
    fields: []
""".replace("1:", '"1":')


def mistakes(text: str | bytes) -> list[str]:
    with pytest.raises(UnfitMapping) as caught:
        load(text)
    return [str(mistake) for mistake in caught.value.mistakes]


def test_a_document_is_read_as_it_is_written() -> None:
    (slug, mapping), (nobody, empty) = load(DOCUMENT)
    assert (slug, nobody) == ("northwind", None)
    assert empty == Mapping(type="customer", fields=())
    inner = [{"name": "upper", "arguments": {}}, {"name": "prefix", "arguments": {"text": "007"}}]
    assert mapping.fields[0] == FieldRule(
        target="attributes.country",
        source="attributes.country",
        type="string",
        default="NO",
        transforms=(
            Transform("trim"),
            Transform("lookup", {"table": {"no": "NO", "1": "2024-03-15"}, "else": None}),
            Transform("conditional", {"when": {"equals": "NO"}, "then": inner}),
        ),
    )
    assert mapping.rules == (RecordRule(code="named", that="$exists(attributes.name)", message="A name is needed."),)


@pytest.mark.parametrize("format", ["yaml", "json"])
def test_what_is_written_reads_back_as_the_same_and_is_written_the_same(format: Any) -> None:
    mappings = load(DOCUMENT)
    text = dump(mappings, format=format)
    assert load(text) == mappings
    assert dump(load(text), format=format) == text


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
names = texts.map(lambda text: "attributes." + json.dumps(text, ensure_ascii=False))
values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), texts, st.sampled_from(["no", "1.5", "1e5", "~", "=", "2024-01-01"])
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=8,
)


@st.composite
def owned(draw: st.DrawFn) -> Owned:
    transforms = [
        {"name": "lookup", "arguments": {"table": draw(st.dictionaries(texts, values)), "else": draw(values)}}
    ]
    field = {
        "target": draw(names),
        "type": "list",
        "source": draw(names),
        "default": draw(st.lists(values)),
        "transforms": transforms,
        "classification": draw(st.sampled_from(["public", "restricted"])),
    }
    rule = {"code": draw(texts.map(lambda text: "x" + text)), "that": "true", "message": draw(texts)}
    mapping = msgspec.convert({"type": "order", "fields": [field], "rules": [rule]}, Mapping)
    return draw(st.one_of(st.none(), texts.filter(bool))), mapping


@given(owned(), st.sampled_from(["yaml", "json"]))
def test_any_text_comes_back(one: Owned, format: Any) -> None:
    assert load(dump([one], format=format)) == [one]


def test_every_mistake_has_its_place() -> None:
    text = """
mappings:
  - type: car
    colour: red
    fields:
      - {target: attributes.a, source: attributes.a, type: text}
      - {source: 1, type: string, transforms: [trim, {pad: 5}, {a: {}, b: {}}], sauce: x}
      - seven
    rules: none
  - customer: 5
    type: order
    fields:
      - {target: id, source: attributes.a, type: string, transforms: [{pad: {length: 0}}]}
      - {target: attributes.n, source: attributes.a, type: decimal, default: 0.5}
      - target: attributes.c
        source: attributes.c
        type: string
        transforms: [{conditional: {when: {equals: a}, then: [pad]}}]
  - {type: order, fields: []}
  - {type: order, fields: []}
"""
    assert [line.partition(": ")[0] for line in mistakes(text)] == [
        "mappings[0].colour",
        "mappings[0].fields[0].type",
        "mappings[0].fields[1].sauce",
        "mappings[0].fields[1].target",
        "mappings[0].fields[1].source",
        "mappings[0].fields[1].transforms[1]",
        "mappings[0].fields[1].transforms[2]",
        "mappings[0].fields[2]",
        "mappings[0].rules",
        "mappings[1].customer",
        "mappings[1].fields[0].target",
        "mappings[1].fields[0].transforms[0]",
        "mappings[1].fields[1].default",
        "mappings[1].fields[2].transforms[0].then[0].length",
        "mappings[2]",
        "mappings[3]",
    ]


def test_a_billion_laughs_are_not_written_out() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert "aliases" in mistakes("\n".join(lines))[0]


def test_an_alias_is_taken_where_it_stays_small() -> None:
    assert read_tree("a: &a [1, 2]\nb: *a") == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("mappings: [1", "line 1"),
        ("a: 1\nb:\n  c: 1\n  c: 2", "line 4, column 3: this name stands twice"),
        ("a: &a [*a]", "holds itself"),
        ("a: !!python/object/apply:os.system [id]", "without a tag"),
        ("a: !!binary aGk=", "without a tag"),
        ("a: !!int x", "line 1"),
        ("<<: {a: 1}\n1: 2", "in quotes"),
        ("a: 0.10000000000000000001", "in quotes"),
        ("a: " + "9" * 5000, "digits"),
        ("a: \x07", "characters"),
        ("a: 1\n---\nb: 2", "line 2"),
        ("", "empty"),
        ("[" * 100_000, "levels"),
        ("a:\n" + "\n".join(" " * n + "- " for n in range(70)), "levels"),
        ('{"a": ' * 70 + "1" + "}" * 70, "levels"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "c stands twice"),
        ('{"a": NaN}', "NaN"),
        ('{"a": 1e400}', "digits"),
        ('{"a": 1,}', "line 1"),
        ("a: " + "x" * MAX_BYTES, "bytes"),
        (b"a: \xff", "UTF-8"),
        ("mappings: {}", "list"),
        ("- 1", "mappings"),
        ("a: [" + "a," * 100_000 + "]", "values"),
    ],
)
def test_a_text_that_cannot_be_used_says_why(text: str | bytes, says: str) -> None:
    (mistake,) = mistakes(text)
    assert says in mistake


@pytest.mark.parametrize(
    ("text", "gives"),
    [
        ("NO", "NO"),
        ("yes", "yes"),
        ("2024-03-15", "2024-03-15"),
        ("007", "007"),
        ("1e5", "1e5"),
        ("-7", -7),
        ("0x1F", "0x1F"),
        ("null", None),
        ("~", None),
        ("", None),
        ("true", True),
        ("True", "True"),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
    ],
)
def test_a_plain_scalar_is_what_json_would_make_of_it(text: str, gives: Any) -> None:
    assert read_tree(f"a: {text}") == {"a": gives}
