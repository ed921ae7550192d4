"""Request pages of the plugin from Airflow's API server.

Arguments are paths; one that starts with ``!`` is requested without a user's token. Prints a JSON
list of [status, headers, text or an empty string], one item for each path.
"""

from __future__ import annotations

import json
import sys

from airflow.api_fastapi.app import create_app, get_auth_manager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from fastapi.testclient import TestClient

client = TestClient(create_app(apps="core"))
token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="reader", role="viewer"))
responses = []
for path in sys.argv[1:]:
    headers = {} if path.startswith("!") else {"Authorization": f"Bearer {token}"}
    response = client.get(path.removeprefix("!"), headers=headers)
    is_text = response.headers["content-type"].startswith(("text/", "application/json"))
    body = response.text if is_text else ""
    responses.append([response.status_code, dict(response.headers), body])
print(json.dumps(responses))
