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


@pytest.mark.parametrize(
    ("host", "authority"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("api", "api"),
        ("::1", "[::1]"),
        ("2001:db8::7", "[2001:db8::7]"),
        ("0.0.0.0", "127.0.0.1"),
        ("::", "[::1]"),
    ],
)
def test_server_url_brackets_ipv6_and_replaces_wildcard(host: str, authority: str) -> None:
    settings = Settings(api_host=host, api_port=81, ui_host=host, ui_port=82, airflow_port=83)
    assert settings.api_url == f"http://{authority}:81"
    assert settings.ui_url == f"http://{authority}:82"
    assert settings.airflow_url == "http://127.0.0.1:83"
