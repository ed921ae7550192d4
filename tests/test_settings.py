"""Settings that cannot be used are named, without what they say."""

from __future__ import annotations

import pytest

from tumorml.errors import TumorMLError
from tumorml.settings import Settings, get_settings


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("TUMORML_API_PORT", "abc", "valid integer"),
        ("TUMORML_TEST_SHARE", "1.5", "less than or equal to 1"),
        ("TUMORML_UI_API_KEY", "a secret", "neither spaces"),
        ("TUMORML_UI_API_KEY", "schl\u00fcssel", "neither spaces"),
    ],
)
def test_a_bad_setting_is_named_and_not_repeated(
    name: str, value: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(TumorMLError, match=f"{name}: .*{why}") as told:
        get_settings.__wrapped__()
    assert value not in str(told.value)


def test_a_line_end_after_a_key_is_no_part_of_it() -> None:
    assert Settings(ui_api_key="tml_abc\n").ui_api_key == "tml_abc"
