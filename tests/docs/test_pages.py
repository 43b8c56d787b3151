"""The documentation's links lead somewhere, and it names what the code does."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parents[2]
DOCS = HOUSE / "docs"
APPS = ("audit", "config", "connectors", "customers", "imports", "monitoring")


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: str(page.relative_to(DOCS)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_index_names_every_page_and_decision() -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    pages = [path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md") if path != DOCS / "README.md"]
    assert [page for page in pages if f"({page})" not in index] == []


def recorded_actions() -> Iterator[str]:
    """First arguments of record() that stand in the code as they are."""
    for app in APPS:
        for path in (HOUSE / app).rglob("*.py"):
            for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "record":
                    for node in ast.walk(call.args[0]):
                        if isinstance(node, ast.Constant) and re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", str(node.value)):
                            yield str(node.value)


def test_the_audit_page_names_every_recorded_action() -> None:
    page = (DOCS / "audit.md").read_text(encoding="utf-8")
    actions = set(recorded_actions())
    assert "import.accepted" in actions
    assert sorted(action for action in actions if f"`{action}`" not in page) == []
