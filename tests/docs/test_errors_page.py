from imports import checking
from imports.api.codes import CODES
from imports.mapping.problem import CODES as MAPPING_CODES
from tests.docs.errors_page import PAGE, render


def test_the_page_lists_every_code_as_the_code_says_it() -> None:
    """Make it anew with: python -m tests.docs.errors_page"""
    page = PAGE.read_text(encoding="utf-8")
    missing = [
        name for name in (*CODES, *checking.CODES, *MAPPING_CODES) if name != "schema" and f"| `{name}` |" not in page
    ]
    assert missing == []
    assert page == render()
