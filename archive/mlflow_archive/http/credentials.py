"""Who we are to a server and whom we trust, found as MLflow's own client finds it.

Everything comes from the stock variables of the environment and files MLflow documents; nothing is changed. To
import MLflow takes seconds, so it is asked only where there is something for it to find: one of its variables, its
credentials file, a plugin that provides headers, or Databricks around us. Else its defaults are known.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from time import monotonic
from typing import Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

from requests.auth import AuthBase, HTTPBasicAuth

from mlflow_archive.errors import ServerError

WORKSPACE_HEADER: Final = "X-MLFLOW-WORKSPACE"
_HEADERS_SECONDS = 30.0
"""How long headers of providers are used: tokens may rotate, but to ask costs 3 ms, as each looks for packages."""
_DEFAULT_TIMEOUT_SECONDS: Final = 120.0
_VARIABLES: Final = (
    "MLFLOW_TRACKING_AUTH",
    "MLFLOW_TRACKING_AWS_SIGV4",
    "MLFLOW_TRACKING_CLIENT_CERT_PATH",
    "MLFLOW_TRACKING_INSECURE_TLS",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_SERVER_CERT_PATH",
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_HTTP_REQUEST_TIMEOUT",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a request to one server carries. ``verify`` and ``certificate`` are as requests wants them."""

    headers: Mapping[str, str] = field(repr=False)
    auth: AuthBase | None = field(repr=False)
    provider: str | None
    verify: bool | str
    certificate: str | None
    timeout_seconds: float
    _provided: list[tuple[float, dict[str, str]]] = field(default_factory=lambda: [(0.0, {})], repr=False)

    def request_headers(self) -> dict[str, str]:
        """Return the headers of one request, those of MLflow's header providers included."""
        asked_at, provided = self._provided[0]
        if not provided or monotonic() - asked_at > _HEADERS_SECONDS:
            provided = _provided_headers()
            self._provided[0] = (monotonic(), provided)
        return {**provided, **self.headers}

    def request_auth(self) -> AuthBase | None:
        """Return what signs one request; the provider of MLFLOW_TRACKING_AUTH is asked anew."""
        if self.provider is None:
            return self.auth
        from mlflow.tracking.request_auth.registry import fetch_auth  # noqa: PLC0415

        auth: AuthBase | None = fetch_auth(self.provider)
        if auth is None:
            raise ServerError(f"MLFLOW_TRACKING_AUTH names {self.provider!r}, but no installed plugin provides it")
        return auth


def split_userinfo(uri: str) -> tuple[str, tuple[str, str] | None]:
    """Return the URI without credentials and without a trailing slash, and (user, password) where it held them."""
    try:
        parts = urlsplit(uri.strip())
        host, port = parts.hostname, parts.port
    except ValueError as exc:
        raise ServerError("the tracking URI is malformed; expected something like http://host:5000") from exc
    if parts.scheme not in ("http", "https") or not host:
        raise ServerError(f"a tracking server has a URI like http://host:5000; found scheme {parts.scheme!r}")
    userinfo = None
    if "@" in parts.netloc:
        user, _, password = parts.netloc.rpartition("@")[0].partition(":")
        userinfo = (unquote(user), unquote(password))
    netloc = f"[{host}]" if ":" in host else host
    netloc = netloc if port is None else f"{netloc}:{port}"
    return urlunsplit((parts.scheme, netloc, parts.path.rstrip("/"), "", "")), userinfo


def find_access(uri: str, userinfo: tuple[str, str] | None) -> Access:
    """Read credentials, TLS settings and timeout for ``uri``; credentials in the URI win over the environment."""
    if not _mlflow_is_set_up():
        auth = None if userinfo is None else _basic(userinfo)
        return Access(
            headers=_workspace(),
            auth=auth,
            provider=None,
            verify=True,
            certificate=None,
            timeout_seconds=_DEFAULT_TIMEOUT_SECONDS,
        )
    return _access_of_mlflow(uri, userinfo)


def _mlflow_is_set_up() -> bool:
    return any(os.environ.get(name) for name in _VARIABLES) or Path("~/.mlflow/credentials").expanduser().exists()


def _basic(userinfo: tuple[str, str]) -> AuthBase:
    return HTTPBasicAuth(userinfo[0].encode(), userinfo[1].encode())


def _workspace() -> dict[str, str]:
    name = os.environ.get("MLFLOW_WORKSPACE", "").strip()
    return {WORKSPACE_HEADER: name} if name else {}


def _provided_headers() -> dict[str, str]:
    """Return what MLflow's header providers give: its own one, plugins, and the one for notebooks of Databricks."""
    if _has_header_plugins() or "DATABRICKS_RUNTIME_VERSION" in os.environ:
        from mlflow.tracking.request_header.registry import resolve_request_headers  # noqa: PLC0415

        headers: dict[str, str] = resolve_request_headers()
        return headers
    return _own_headers()


@cache
def _has_header_plugins() -> bool:
    return bool(metadata.entry_points(group="mlflow.request_header_provider"))


@cache
def _own_headers() -> dict[str, str]:
    version = metadata.version("mlflow-skinny")
    return {"User-Agent": f"mlflow-python-client/{version}", "X-MLflow-Client-Version": version}


def _access_of_mlflow(uri: str, userinfo: tuple[str, str] | None) -> Access:
    from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_TIMEOUT  # noqa: PLC0415
    from mlflow.utils.credentials import get_default_host_creds  # noqa: PLC0415

    creds: Any = get_default_host_creds(uri)
    headers = _workspace()
    auth: AuthBase | None = None
    provider: str | None = None
    if userinfo is not None:
        auth = _basic(userinfo)
    elif creds.aws_sigv4:
        auth = _aws_signature()
    elif creds.auth:
        provider = creds.auth
    if creds.username and creds.password:
        pair = f"{creds.username}:{creds.password}".encode()
        headers["Authorization"] = "Basic " + base64.standard_b64encode(pair).decode("ascii")
    elif creds.token:
        headers["Authorization"] = f"Bearer {creds.token}"
    return Access(
        headers=headers,
        auth=auth,
        provider=provider,
        verify=creds.verify,
        certificate=creds.client_cert_path,
        timeout_seconds=float(MLFLOW_HTTP_REQUEST_TIMEOUT.get()),
    )


def _aws_signature() -> AuthBase:
    try:
        from requests_auth_aws_sigv4 import AWSSigV4  # type: ignore[import-not-found]  # noqa: PLC0415
    except ImportError as exc:
        raise ServerError(
            "MLFLOW_TRACKING_AWS_SIGV4 is set; signing needs the package requests-auth-aws-sigv4: pip install it"
        ) from exc
    signature: AuthBase = AWSSigV4("execute-api")
    return signature
