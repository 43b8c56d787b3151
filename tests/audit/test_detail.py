import pytest

from audit.detail import DetailValue, UnsafeEventError, check_action, check_detail, check_target

JOB = "0b9c6c1e-4f57-4c61-9d3f-2f6f9a3f1c11"


def test_ids_codes_counts_and_flags_pass() -> None:
    detail: dict[str, DetailValue] = {
        "job": JOB,
        "body_sha": "a" * 64,
        "network": "2001:db8::/32",
        "version": "1.0.0",
        "batches": 20,
        "dry_run": False,
        "previous": None,
        "scopes": ["imports:write", "imports:read"],
    }
    assert check_detail(detail) == detail


@pytest.mark.parametrize(
    "value",
    [
        "jane@example.com",
        "Jane Doe",
        "Müller",
        "",
        '{"name":"x"}',
        "line\nbreak",
        "+49 30 1234567",
        "x" * 65,
        "lsk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "a\x00b",
        "=cmd|' /C calc'!A0",
        1.5,
        2**63,
        b"bytes",
        {"nested": 1},
        [["nested"]],
        ["fine", "not fine"],
        list(range(51)),
    ],
)
def test_what_could_carry_personal_data_is_refused_and_not_quoted(value: object) -> None:
    with pytest.raises(UnsafeEventError) as refused:
        check_detail({"value": value})  # type: ignore[dict-item]
    if isinstance(value, str) and value:
        assert value not in str(refused.value)


@pytest.mark.parametrize("key", ["", "Upper", "jane@example.com", "a b", "a1", "_a", "x" * 41, 7])
def test_keys_are_lower_case_words(key: object) -> None:
    with pytest.raises(UnsafeEventError) as refused:
        check_detail({key: 1})  # type: ignore[dict-item]
    assert "jane" not in str(refused.value)


def test_a_detail_stays_small() -> None:
    with pytest.raises(UnsafeEventError, match="20"):
        check_detail({"k" * length: 1 for length in range(1, 22)})


@pytest.mark.parametrize("action", ["import.accepted", "key.rotation.begun"])
def test_an_action_is_words_and_dots(action: str) -> None:
    assert check_action(action) == action


@pytest.mark.parametrize("action", ["", "import", "Import.Accepted", "import.", "import accepted", "a." + "b" * 60])
def test_any_other_action_is_refused(action: str) -> None:
    with pytest.raises(UnsafeEventError):
        check_action(action)


@pytest.mark.parametrize("target", ["customer:acme", f"import:{JOB}", "failed_record:12", "key:bk_test_0001"])
def test_a_target_is_a_kind_and_an_id(target: str) -> None:
    assert check_target(target) == target


@pytest.mark.parametrize(
    "target",
    ["", "acme", "customer:", "staff:jane@example.com", "customer:Acme Inc", "key:lsk_x", "a:" + "b" * 101],
)
def test_any_other_target_is_refused(target: str) -> None:
    with pytest.raises(UnsafeEventError):
        check_target(target)
