"""Heatmaps in responses: as a link, inline or as the bare map, and the claim about them."""

from __future__ import annotations

import base64
import io

from PIL import Image
from sqlalchemy import text
from starlette.testclient import TestClient

from tests.factories.champions import noise_scans
from tests.factories.predictions import image_fields, one_image, prediction_history
from tumorml.objects.keys import scan_key
from tumorml.results.session import write_session
from tumorml.scans.images.decode import scan_id
from tumorml.settings import Settings

PNG_URL = "data:image/png;base64"


def test_linked_heatmap_is_the_inline_one(client: TestClient, settings: Settings) -> None:
    inline = client.post("/predict?heatmap=inline", files=one_image()).json()
    prefix, _, data = inline["answers"][0]["heatmap"].partition(",")
    assert prefix == PNG_URL
    linked = client.post("/predict?heatmap=link", files=one_image()).json()
    path = linked["answers"][0]["heatmap"]
    response = client.get(path)
    assert response.headers["content-type"] == "image/png"
    assert response.content == base64.b64decode(data)
    assert Image.open(io.BytesIO(response.content)).size == (580, 308)
    assert prediction_history(settings)[0]["heatmap_key"] in path


def test_only_heatmaps_can_be_read_by_key(client: TestClient, settings: Settings) -> None:
    answer = client.post("/predict?heatmap=link", files=one_image()).json()["answers"][0]
    assert client.get(answer["heatmap"]).status_code == 200
    pixels_key = scan_key(scan_id(noise_scans(1)[0]))
    for key in ("..%2F..%2Fsecret.png", "%2Fetc%2Fpasswd", pixels_key):
        assert client.get(f"/heatmaps/{key}").status_code == 404
    with write_session(settings) as session:
        session.execute(text("update artifact set kind = 'report'"))
    assert client.get(answer["heatmap"]).status_code == 404


def test_bare_map_has_the_size_of_the_scan_and_a_meaning(
    client: TestClient, settings: Settings
) -> None:
    (pixels,) = noise_scans(1)
    content = client.post("/predict?heatmap=map", files=image_fields(pixels)).json()
    (answer,) = content["answers"]
    prefix, _, data = answer["heatmap"].partition(",")
    assert prefix == PNG_URL
    bare_map = Image.open(io.BytesIO(base64.b64decode(data)))
    assert (bare_map.mode, bare_map.size) == ("L", pixels.shape[::-1])
    assert answer["heatmap_meaning"].startswith("evidence map")
    (row,) = prediction_history(settings)
    assert client.get(f"/heatmaps/{row['heatmap_key']}").status_code == 200


def test_heatmap_claim_comes_only_with_heatmaps(client: TestClient) -> None:
    with_map = client.post("/predict?heatmap=map", files=one_image()).json()
    assert "not measured" in with_map["heatmap_claim"]
    assert client.post("/predict", files=one_image()).json()["heatmap_claim"] is None
