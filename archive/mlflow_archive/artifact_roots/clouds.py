"""Connections to the object stores of clouds, as MLflow's own repositories make them: s3, r2, b2, gs, abfs."""

from __future__ import annotations

import os
import re
from typing import Any, Final

from mlflow_archive.artifact_roots.store import UnreachableError
from mlflow_archive.optional import install

EXTRAS: Final = {
    "s3": "s3",
    "r2": "s3",
    "b2": "s3",
    "gs": "gs",
    "gcs": "gs",
    "abfs": "azure",
    "abfss": "azure",
    "wasbs": "azure",
    "wasb": "azure",
}
"""Scheme to the extra of this project that brings its library."""

_PROTOCOLS: Final = {"gcs": "gs", "abfss": "abfs", "wasb": "abfs", "wasbs": "abfs", "r2": "s3", "b2": "s3"}


def split_location(uri: str) -> tuple[str, str, str]:
    """Return scheme, host, and the location as fsspec names it: bucket and key, nothing decoded.

    The host is what ``…://bucket@host/…`` names: a storage account of Azure, an endpoint of R2 or B2; else nothing.

    >>> split_location("r2://bucket@ID.r2.cloudflarestorage.com/a/b"), split_location("s3://bucket/a%20b/")
    (('r2', 'id.r2.cloudflarestorage.com', 'bucket/a/b'), ('s3', '', 'bucket/a%20b'))
    """
    scheme, _, rest = uri.partition("://")
    authority, _, path = rest.partition("/")
    bucket, _, host = authority.partition("@")
    return scheme.lower(), host.lower(), f"{bucket}/{path}".strip("/")


def connect(scheme: str, host: str) -> Any:
    """Return fsspec's file system of a cloud. Raises UnreachableError."""
    options = {"use_listings_cache": False, "skip_instance_cache": True, **_options(scheme, host)}
    try:
        import fsspec  # noqa: PLC0415

        return fsspec.filesystem(_PROTOCOLS.get(scheme, scheme), **options)
    except ImportError as error:
        hint = install(EXTRAS[scheme])
        raise UnreachableError(f"{scheme}: locations need more packages: {hint} ({error})") from error
    except ValueError as error:
        hint = "set AZURE_STORAGE_ACCOUNT_NAME and a key or token of it" if EXTRAS[scheme] == "azure" else ""
        raise UnreachableError(f"{scheme}: locations cannot be used: {error}; {hint}".rstrip("; ")) from error


def _options(scheme: str, host: str) -> dict[str, Any]:
    extra = EXTRAS[scheme]
    if extra == "s3":
        return _s3_options(scheme, host)
    return _account_options(host) if extra == "azure" else {}


def _account_options(host: str) -> dict[str, Any]:
    """Return what connects to a storage account of Azure; credentials that name another one are not for it."""
    if not host:
        return {}
    account = host.partition(".")[0]
    settings = os.environ.get("AZURE_STORAGE_CONNECTION_STRING", "").split(";")
    pairs = (part.partition("=") for part in settings)
    configured = next((value for name, _, value in pairs if name == "AccountName"), "")
    configured = configured or os.environ.get("AZURE_STORAGE_ACCOUNT_NAME", "")
    if configured and configured != account:
        raise UnreachableError(
            f"{host}: the credentials in the environment are for the storage account {configured}; run once more with "
            f"those of {account}, or give --artifact-map FROM=TO"
        )
    return {"account_name": account}


def _s3_options(scheme: str, host: str) -> dict[str, Any]:
    """Return endpoint, region and style of addresses as MLflow's repository of the scheme has them.

    Those of R2 and B2 are in the URI, and MLflow's own variable for the endpoint is for s3 only; all other variables
    are boto's.
    """
    client: dict[str, Any] = {}
    style = os.environ.get("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE", "auto")
    endpoint = os.environ.get("MLFLOW_S3_ENDPOINT_URL", "")
    if scheme != "s3":
        if not host:
            form = f"{scheme}://BUCKET@{_ENDPOINTS[scheme]}/PATH"
            raise UnreachableError(f"{scheme}: locations name their endpoint: {form}; this one does not")
        endpoint = f"https://{host}"
        style = "virtual" if scheme == "r2" else "path"
        client["region_name"] = _region(scheme, host)
    if os.environ.get("MLFLOW_S3_IGNORE_TLS", "").lower() in ("true", "1"):
        client["verify"] = False
    options: dict[str, Any] = {"endpoint_url": endpoint} if endpoint else {}
    config = {"connect_timeout": 10, "retries": {"max_attempts": 3}, "s3": {"addressing_style": style}}
    return {**options, "client_kwargs": client, "config_kwargs": config, "version_aware": False}


_B2: Final = re.compile(r"s3\.([^.]+)\.backblazeb2\.com")
_ENDPOINTS: Final = {"r2": "ACCOUNT.r2.cloudflarestorage.com", "b2": "s3.REGION.backblazeb2.com"}


def _region(scheme: str, host: str) -> str | None:
    """Return the region for which R2 and B2 want requests to be signed, None where the endpoint names none.

    >>> _region("b2", "s3.us-west-004.backblazeb2.com"), _region("b2", "localhost:9000"), _region("r2", "id.r2.example")
    ('us-west-004', None, 'auto')
    """
    if scheme == "r2":
        return "auto"
    match = _B2.fullmatch(host)
    return match[1] if match else None
