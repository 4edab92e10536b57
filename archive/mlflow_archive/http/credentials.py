"""Who we are to a server and whom we trust, found as MLflow's own client finds it.

Everything comes from the stock variables of the environment and files MLflow documents; nothing is changed. MLflow
itself, which takes seconds to import, is asked only for what its plugins give: signatures, and headers, also those for
notebooks of Databricks; for headers where it is installed.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from configparser import ConfigParser
from configparser import Error as ConfigError
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from time import monotonic
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

from requests.auth import AuthBase, HTTPBasicAuth

from mlflow_archive.errors import SelectionError, ServerError
from mlflow_archive.optional import mlflow_version, needing

WORKSPACE_HEADER: Final = "X-MLFLOW-WORKSPACE"
_HEADERS_SECONDS = 30.0
"""How long headers of providers are used: tokens may rotate, but to ask costs 3 ms, as each looks for packages."""
_TIMEOUT_SECONDS: Final = "120"
_CREDENTIALS: Final = "~/.mlflow/credentials"
_FLAGS: Final = {"true": True, "1": True, "false": False, "0": False}


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
        with needing("mlflow", "MLFLOW_TRACKING_AUTH"):
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


def find_access(userinfo: tuple[str, str] | None, *, is_stranger: bool = False) -> Access:
    """Read credentials, TLS settings and timeout; credentials in the URI win over the environment.

    A stranger, another server than the one that the environment is about, gets those in its URI only.

    Raises SelectionError for a variable or file that MLflow does not understand either.
    """
    auth: AuthBase | None = None
    provider: str | None = None
    if userinfo is not None:
        auth = HTTPBasicAuth(userinfo[0].encode(), userinfo[1].encode())
    elif is_stranger:
        pass
    elif _flag("MLFLOW_TRACKING_AWS_SIGV4"):
        auth = _aws_signature()
    else:
        provider = _variable("MLFLOW_TRACKING_AUTH")
    return Access(
        headers=_workspace() if is_stranger else {**_workspace(), **_authorization()},
        auth=auth,
        provider=provider,
        verify=_verify(),
        certificate=None if is_stranger else _variable("MLFLOW_TRACKING_CLIENT_CERT_PATH"),
        timeout_seconds=_timeout_seconds(),
    )


def _variable(name: str) -> str | None:
    """Return a variable of the environment; one that is empty counts as none, or certificates would not be checked."""
    return os.environ.get(name) or None


def _authorization() -> dict[str, str]:
    user, password = _login()
    if user and password:
        basic = base64.standard_b64encode(f"{user}:{password}".encode()).decode("ascii")
        return {"Authorization": f"Basic {basic}"}
    token = _variable("MLFLOW_TRACKING_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}


def _login() -> tuple[str | None, str | None]:
    """Return user and password, each from its variable, else from MLflow's file of credentials."""
    names = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
    user, password = map(_variable, names)
    if user and password:
        return user, password
    file = ConfigParser()
    try:
        file.read(Path(_CREDENTIALS).expanduser())
        stored = file["mlflow"] if file.has_section("mlflow") else {}
        return user or stored.get(names[0].lower()), password or stored.get(names[1].lower())
    except (ConfigError, UnicodeDecodeError) as error:  # whose text may hold the password
        raise SelectionError(f"{_CREDENTIALS} is not in the form of MLflow: {type(error).__name__}") from None


def _flag(name: str) -> bool:
    text = _variable(name) or "false"
    if text.lower() not in _FLAGS:
        raise SelectionError(f"{name} is {text!r}; expected true, false, 1 or 0")
    return _FLAGS[text.lower()]


def _verify() -> bool | str:
    insecure, path = "MLFLOW_TRACKING_INSECURE_TLS", "MLFLOW_TRACKING_SERVER_CERT_PATH"
    certificate = _variable(path)
    if _flag(insecure) and certificate:
        raise SelectionError(f"{insecure} and {path} exclude each other; unset one of them")
    return certificate or not _flag(insecure)


def _timeout_seconds() -> float:
    text = _variable("MLFLOW_HTTP_REQUEST_TIMEOUT") or _TIMEOUT_SECONDS
    try:
        return float(int(text))
    except ValueError:
        raise SelectionError(f"MLFLOW_HTTP_REQUEST_TIMEOUT is {text!r}; expected whole seconds") from None


def _workspace() -> dict[str, str]:
    name = os.environ.get("MLFLOW_WORKSPACE", "").strip()
    return {WORKSPACE_HEADER: name} if name else {}


def _provided_headers() -> dict[str, str]:
    """Return what MLflow's header providers give: its own one, plugins, and the one for notebooks of Databricks."""
    if mlflow_version() and (_has_header_plugins() or "DATABRICKS_RUNTIME_VERSION" in os.environ):
        from mlflow.tracking.request_header.registry import resolve_request_headers  # noqa: PLC0415

        headers: dict[str, str] = resolve_request_headers()
        return headers
    return _own_headers()


@cache
def _has_header_plugins() -> bool:
    return bool(metadata.entry_points(group="mlflow.request_header_provider"))


@cache
def _own_headers() -> dict[str, str]:
    """Return what MLflow's client says of itself, where it is installed; else who we are."""
    version = mlflow_version()
    if version is None:
        return {"User-Agent": f"mlflow-archive/{metadata.version('mlflow-archive')}"}
    return {"User-Agent": f"mlflow-python-client/{version}", "X-MLflow-Client-Version": version}


def _aws_signature() -> AuthBase:
    with needing("sigv4", "MLFLOW_TRACKING_AWS_SIGV4"):
        from requests_auth_aws_sigv4 import AWSSigV4  # type: ignore[import-not-found]  # noqa: PLC0415
    signature: AuthBase = AWSSigV4("execute-api")
    return signature
