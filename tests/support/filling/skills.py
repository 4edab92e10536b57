"""Skills of MLflow 3.18, whose client need not be the installed one: made by plain requests."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping
from typing import Any, Final

import requests

API: Final = "/api/3.0/mlflow/skills"
FIRST: Final = {"SKILL.md": b"# Review\n", "scripts/run ü.sh": b"echo \xc3\xbc\n", "empty.txt": b""}
OF_ACME: Final = {"SKILL.md": b"# Acme reviews\n" * 1000}
GIT: Final = "https://example.com/skills.git"


class SkillServer:
    """The skills of a server, by name or ``@organization/name``."""

    def __init__(self, uri: str, headers: Mapping[str, str] | None = None) -> None:
        self._base, self._headers = uri + API, dict(headers or {})

    def send(self, method: str, path: str = "", **options: Any) -> Any:
        """Send a request and return what comes; raise for a refusal."""
        answer = requests.request(method, f"{self._base}{path}", headers=self._headers, timeout=60, **options)
        if not answer.ok:
            message = f"{method} {path}: {answer.status_code} {answer.text}"
            raise RuntimeError(message)
        return answer.json()

    def upload(self, name: str, files: Mapping[str, bytes], **metadata: Any) -> Any:
        """Register a version with files; return it."""
        parts = {
            "metadata": (None, json.dumps(metadata), "application/json"),
            "content": ("content.tar.gz", _packed(files), "application/gzip"),
        }
        return self.send("POST", f"/{name}/versions", files=parts)

    def versions(self, name: str) -> dict[int, Any]:
        """Return the versions that are shown, by number."""
        found = self.send("GET", f"/{name}/versions", params={"max_results": 1000})["skill_versions"]
        return {version["version"]: version for version in found}


def fill_skills(uri: str, headers: Mapping[str, str] | None = None) -> None:
    """Make a skill with five versions, of which two are deleted, one of an organization, and an empty one."""
    skills = SkillServer(uri, headers)
    skills.send("POST", json={"name": "review", "description": "Reviews ü."})
    skills.upload("review", FIRST)
    for source in ({"ref": "v2", "subpath": "skills/review"}, {"ref": "v3", "status": "draft"}, {"status": "draft"}):
        skills.send("POST", "/review/versions", json={"source_type": "git", "source": GIT, **source})
    skills.upload("review", {"SKILL.md": b"gone"}, status="draft")
    for number in (4, 5):
        skills.send("DELETE", f"/review/versions/{number}")
    skills.send("PATCH", "/review/versions/2", json={"status": "deprecated"})
    for key, value in {"team": "ü", "empty": ""}.items():
        skills.send("POST", "/review/tags", json={"key": key, "value": value})
    skills.send("POST", "/review/versions/1/tags", json={"key": "checked by", "value": "ada"})
    skills.send("POST", "/review/aliases", json={"alias": "live", "version": 1})
    acme = "@acme.ai/review"
    oci = {"source_type": "oci", "source": "ghcr.io/acme/skills:v1", "digest": "0" * 64}
    skills.send("POST", f"/{acme}/versions", json=oci)
    skills.upload(acme, OF_ACME)
    skills.send("POST", json={"name": "idle"})


def _packed(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as stream, tarfile.open(fileobj=stream, mode="w") as tar:
        for path, data in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return packed.getvalue()
