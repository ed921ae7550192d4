"""Wrong settings and credentials of an S3 store."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.factories.http_servers import serving
from tests.factories.s3_server import READER
from tumorml.errors import (
    StoreRefusedError,
    TumorMLError,
)
from tumorml.objects import object_store
from tumorml.settings import Settings


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"s3_endpoint_url": "not a url"}, "TUMORML_S3_ENDPOINT_URL"),
        ({"object_store_url": "s3://"}, "TUMORML_OBJECT_STORE_URL"),
        ({"object_store_url": "s3://no-such-bucket"}, "TUMORML_OBJECT_STORE_URL"),
    ],
)
def test_error_names_the_wrong_setting(bucket: Settings, wrong: dict[str, str], named: str) -> None:
    with pytest.raises(TumorMLError, match=named):
        list(object_store(bucket.model_copy(update=wrong)).list("a"))


def test_error_for_a_web_server_names_endpoint_setting(bucket: Settings) -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<!doctype html>welcome")

    with serving(Page) as url:
        wrong = {"s3_endpoint_url": url, "object_store_patience_seconds": 0.0}
        with pytest.raises(TumorMLError, match="TUMORML_S3_ENDPOINT_URL"):
            list(object_store(bucket.model_copy(update=wrong)).list("a"))


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"AWS_ACCESS_KEY_ID": "nobody"}, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        (READER, "does not allow the key in AWS_ACCESS_KEY_ID to write s3://"),
    ],
)
@pytest.mark.usefixtures("fresh_clients")
def test_wrong_credentials_error_names_the_variables(
    bucket: Settings, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str], named: str
) -> None:
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StoreRefusedError, match=named):
        object_store(bucket).write("a", b"x")


@pytest.mark.usefixtures("fresh_clients")
def test_missing_credentials_error_names_the_variables(
    bucket: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(TumorMLError, match="needs credentials: set AWS_ACCESS_KEY_ID"):
        object_store(bucket).read("a")
