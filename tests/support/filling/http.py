"""Plain requests to a server, for what MLflow's client has no call for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import requests


@dataclass(frozen=True, kw_only=True)
class Http:
    """A server and the headers every request to it carries."""

    uri: str
    headers: dict[str, str] = field(default_factory=dict)

    def send(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Send JSON to ``/api/…`` and return the JSON answered; fail for any refusal."""
        answer = requests.request(method, f"{self.uri}/api/{path}", json=body, headers=self.headers, timeout=60)
        assert answer.ok, (method, path, answer.status_code, answer.text)
        return answer.json()

    def post(self, path: str, **body: Any) -> Any:
        return self.send("POST", path, body)

    def put_file(self, path: str, data: bytes) -> None:
        """Upload a file through the artifact proxy."""
        url = f"{self.uri}/api/2.0/mlflow-artifacts/artifacts/{path}"
        answer = requests.put(url, data=data, headers=self.headers, timeout=60)
        assert answer.ok, (path, answer.status_code, answer.text)
