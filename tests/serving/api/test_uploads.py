"""Refused files and bodies: the problem names the file and the reason."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from tests.factories.champions import noise_scans
from tests.factories.predictions import image_fields, one_image, prediction_history
from tests.factories.running_api import api_client
from tumorml.scans.images.decode import encode_png
from tumorml.settings import Settings

DICOM = b"\0" * 128 + b"DICM" + b"\0" * 64
GOOD = encode_png(noise_scans(1)[0])


def decompression_bomb() -> bytes:
    file = io.BytesIO()
    Image.new("L", (20_000, 20_000)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"garbage", "not a supported image"),
        (DICOM, "DICOM"),
        (GOOD[:200], "truncated or damaged"),
        (decompression_bomb(), "pixels"),
        (encode_png(np.zeros((64, 64), np.uint8)), "blank"),
    ],
    ids=["empty", "garbage", "dicom", "truncated", "bomb", "blank"],
)
def test_undecodable_file_is_named_and_nothing_is_predicted(
    data: bytes, reason: str, client: TestClient, settings: Settings
) -> None:
    files = [("images", ("good.png", GOOD)), ("images", ("bad.png", data))]
    response = client.post("/predict", files=files)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["detail"].startswith("1 of 2 files cannot be decoded")
    assert [refused["file"] for refused in problem["files"]] == ["bad.png"]
    assert reason in problem["files"][0]["reason"]
    assert prediction_history(settings) == []
    assert client.post("/predict", files=one_image()).status_code == 200


def test_unusable_bodies_get_the_matching_status(client: TestClient) -> None:
    requests: list[tuple[int, dict[str, Any]]] = [
        (415, {"json": {"images": []}}),
        (415, {"content": GOOD, "headers": {"content-type": "image/png"}}),
        (400, {"content": b"x", "headers": {"content-type": "multipart/form-data; boundary=b"}}),
        (400, {"content": b"x", "headers": {"content-type": "multipart/form-data"}}),
        (422, {"files": {"others": ("a.png", GOOD)}}),
        (413, {"files": [("images", ("a.png", GOOD)) for _ in range(1000)]}),
    ]
    for status, request in requests:
        response = client.post("/predict", **request)
        assert response.status_code == status, response.text
        assert response.json()["status"] == status
    assert client.post("/predict?task=five_class", files=one_image()).status_code == 422
    assert client.post("/predict?task=binary", files=one_image()).status_code == 404


@pytest.mark.usefixtures("champion")
def test_body_above_the_limit_gets_413_announced_or_chunked(settings: Settings) -> None:
    small = settings.model_copy(update={"api_max_bytes": 10_000})
    with api_client(small) as client:
        files = {"images": ("a.png", b"\0" * 20_000)}
        assert client.post("/predict", files=files).status_code == 413

        def chunks() -> Iterator[bytes]:
            yield b'--b\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n'
            for _ in range(20):
                yield b"\0" * 1000

        headers = {"content-type": "multipart/form-data; boundary=b"}
        response = client.post("/predict", content=chunks(), headers=headers)
        assert response.status_code == 413
        assert "10,000 bytes" in response.json()["detail"]


@pytest.mark.usefixtures("champion")
def test_images_of_a_request_share_the_pixel_limit(settings: Settings) -> None:
    small = settings.model_copy(update={"max_scan_pixels": 20_000})
    with api_client(small) as client:
        response = client.post("/predict", files=image_fields(*noise_scans(4)))
        assert response.status_code == 422
        assert [refused["file"] for refused in response.json()["files"]] == ["2.png", "3.png"]


@pytest.mark.parametrize("charset", ["unicode_escape", "utf-7", "no-such-charset"])
def test_file_name_in_an_odd_charset_is_no_server_error(client: TestClient, charset: str) -> None:
    for data, status in ((GOOD, 200), (b"garbage", 422)):
        body = (
            b'--b\r\nContent-Disposition: form-data; name="images"; filename="\\ud800.png"\r\n\r\n'
            + data
            + b"\r\n--b--\r\n"
        )
        headers = {"content-type": f"multipart/form-data; boundary=b; charset={charset}"}
        response = client.post("/predict", content=body, headers=headers)
        assert response.status_code in (status, 400), response.text
