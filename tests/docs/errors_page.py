"""docs/errors.md, made from the tables that the code itself answers from: python -m tests.docs.errors_page"""

import os
from collections.abc import Iterable
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "errors.md"

_INTRODUCTION = """# Error codes

Every refused call is answered as `application/problem+json` ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)):

    {"type": "/api/docs/errors#invalid_envelope", "title": "Invalid envelope", "status": 422,
     "detail": "…", "instance": "/api/v1/imports/bulk", "code": "invalid_envelope", "requestId": "…",
     "errors": [{"pointer": "/metadata/version", "code": "missing_member", "detail": "…"}]}

Programs read `code`: it keeps its meaning, where `title` and `detail` are for people and may be reworded. `errors` is
there where the fault can be pointed at. Every answer carries `X-Request-ID`; give it to support. No answer quotes what
was sent.

After 408, 429, 500, 503 and `idempotency_in_flight` send the same request again, signed anew, after the seconds in
`Retry-After` where there is one. After any other code something has to change first. With an `Idempotency-Key` a
repeated POST never makes a second job.
"""


def render() -> str:
    """The page as it has to stand in docs/."""
    from imports import checking
    from imports.api.codes import CODES
    from imports.mapping.problem import CODES as MAPPING_CODES

    calls = (
        (f"`{name}`", str(code.status), code.meaning, code.next_step)
        for name, code in sorted(CODES.items(), key=lambda item: (item[1].status, item[0]))
    )
    records = ((f"`{name}`", message) for name, message in {**checking.CODES, **checking.STORE_CODES}.items())
    # Not a code of its own: the keyword that was broken follows.
    of_mapping = (
        (f"`{'schema_KEYWORD' if name == 'schema' else name}`", message) for name, message in MAPPING_CODES.items()
    )
    return "\n".join(
        (
            _INTRODUCTION,
            "## Codes of a call",
            *_table(("code", "status", "meaning", "what to do next"), calls),
            "",
            "## Codes of a record",
            "A record that breaks a rule fails alone: its import goes on. These codes stand in `errors` of an import's",
            "status and of `POST /imports/validate`, and in the results, each with a JSON Pointer to the place.",
            "",
            *_table(("code", "meaning"), records),
            "",
            f"The last {len(checking.STORE_CODES)} lie with the server: such a record is tried again by itself.",
            "",
            "## Codes of a record that does not fit its mapping",
            "Where a mapping is published for the record's type. `pointer` leads into the record as you sent it;",
            "`target` leads into the mapped record and stands alone where the fault shows only there. The keyword of",
            "the JSON Schema follows its code in small letters, as in `schema_required` or `schema_max_length`. A",
            "mapping's own record rules bring their own code and message.",
            "",
            *_table(("code", "meaning"), of_mapping),
            "",
        )
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterable[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |"


if __name__ == "__main__":
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    PAGE.write_text(render(), encoding="utf-8")
