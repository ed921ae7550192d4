from __future__ import annotations

import pytest

from tumorml.errors import TumorMLError
from tumorml.settings import Settings, get_settings


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("TUMORML_API_PORT", "abc", "valid integer"),
        ("TUMORML_TEST_SHARE", "1.5", "less than or equal to 1"),
        ("TUMORML_UI_API_KEY", "a secret", "printable ASCII"),
        ("TUMORML_UI_API_KEY", "schl\u00fcssel", "printable ASCII"),
    ],
)
def test_invalid_setting_is_named_without_its_value(
    name: str, value: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(TumorMLError, match=f"{name}: .*{why}") as error:
        get_settings.__wrapped__()
    assert value not in str(error.value)


def test_trailing_newline_of_an_api_key_is_stripped() -> None:
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
