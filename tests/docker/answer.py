"""Send one image to the API; the last line of the output is the response as JSON."""

import json
import sys
from pathlib import Path

from starlette.testclient import TestClient

from tumorml.serving.api.app import create_app
from tumorml.settings import get_settings

with TestClient(create_app(get_settings()), base_url="http://127.0.0.1") as client:
    live = client.get("/health/live")
    response = client.post(
        "/predict?heatmap=map", files={"images": ("one.png", Path(sys.argv[1]).read_bytes())}
    )
print(json.dumps([live.status_code, response.status_code, response.json()]))
