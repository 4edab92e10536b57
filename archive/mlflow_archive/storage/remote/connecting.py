"""From a place to the store that holds it, with the credentials that each cloud's own programs would use.

MLflow's variables come first (``MLFLOW_S3_ENDPOINT_URL``, ``MLFLOW_S3_IGNORE_TLS``, connection string and access key of
Azure), then those that obstore reads by itself, which are each cloud's usual ones; profiles and
single sign-on through the cloud's own package, where that is installed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

from mlflow_archive.errors import MissingExtraError, RemotePlaceError, SelectionError
from mlflow_archive.format.location import RemotePlace
from mlflow_archive.optional import needing
from mlflow_archive.storage.remote.store import RemoteStore, told

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

_CLIENT: Final[ClientConfig] = {"connect_timeout": "10s", "timeout": "120s"}
_RETRIES: Final = 4
_BUCKET: Final = re.compile(r"[\w.$:-]+")  # what stands in names of buckets and containers of any cloud


def connect(place: RemotePlace, *, parent: bool = False) -> tuple[RemoteStore, str]:
    """Return the store of the objects below a place, or beside it, and the last part of its name.

    Nothing is asked of it yet. Raises MissingExtraError, SelectionError for a URI that names no bucket,
    RemotePlaceError for credentials that cannot be used.
    """
    with needing("cloud", f"an archive at {place.scheme}://"):
        from obstore.exceptions import BaseError  # noqa: PLC0415 - brought by an extra
    folder, _, name = _path_of(place).rpartition("/")
    below = folder if parent else _path_of(place)
    store_place = RemotePlace(str(place).rstrip("/").rpartition("/")[0]) if parent else place
    try:
        return RemoteStore(store_place, open_objects(place, below)), name
    except (BaseError, ValueError, OSError) as error:
        raise RemotePlaceError(f"{place} cannot be used: {told(error)}") from error


def open_objects(place: RemotePlace, below: str) -> ObjectStore:
    """Return obstore's store of the objects below a path of a bucket or server."""
    return _STORES[place.scheme](place, below or None)


def _path_of(place: RemotePlace) -> str:
    """Return the path in a bucket, as it is written, or on a server, decoded; without slashes around it."""
    if not place.is_bucket:
        return unquote(urlsplit(place.uri).path).strip("/")
    return place.uri.partition("://")[2].partition("/")[2].strip("/")


def _bucket(place: RemotePlace) -> str:
    """Return the bucket or container."""
    name, at, _ = place.uri.partition("://")[2].partition("/")[0].partition("@")
    if at and place.scheme != "abfss":
        raise SelectionError(f"{place}: credentials are not taken from a URI but from the environment")
    if not name:
        raise SelectionError(f"{place} names no bucket")
    if not _BUCKET.fullmatch(name):
        raise SelectionError(f"{place}: no bucket can have the name {name!r}")
    return name


def _endpoint(place: RemotePlace, *variables: str) -> str:
    """Return the endpoint that the first of some variables names, empty for none; obstore panics at what is no URL.

    Raises SelectionError for that, without the value, which may hold a password.
    """
    variable = next((name for name in variables if os.environ.get(name)), "")
    endpoint = os.environ.get(variable, "")
    if endpoint and not is_endpoint(endpoint):
        raise SelectionError(f"{place}: {variable} is no URL of a server; write it as http(s)://HOST[:PORT]")
    return endpoint


def is_endpoint(text: str) -> bool:
    """Return whether a text is the URL of a server, such as ``http://localhost:9000``."""
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises where it is none
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not re.search(r"[^!-~]", text)


def _retries() -> RetryConfig:
    from datetime import timedelta  # noqa: PLC0415

    return {"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=60)}


def _client(endpoint: str, *, any_certificate: bool = False) -> ClientConfig:
    client: ClientConfig = {**_CLIENT}
    if endpoint.startswith("http://"):
        client["allow_http"] = True
    if any_certificate:
        client["allow_invalid_certificates"] = True
    return client


def _s3(place: RemotePlace, prefix: str | None) -> ObjectStore:
    from obstore.store import S3Store  # noqa: PLC0415

    names = ("MLFLOW_S3_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    endpoint = _endpoint(place, *names)
    ignore_tls = os.environ.get("MLFLOW_S3_IGNORE_TLS", "").lower() in ("true", "1")
    config: dict[str, Any] = {"endpoint": endpoint} if endpoint else {}
    provider = None
    if not os.environ.get("AWS_ACCESS_KEY_ID") and not os.environ.get("AWS_SKIP_SIGNATURE"):
        provider = _profile()
    return S3Store(
        _bucket(place),
        prefix=prefix,
        credential_provider=provider,
        client_options=_client(endpoint, any_certificate=ignore_tls),
        retry_config=_retries(),
        **config,
    )


def _profile() -> Any:
    """Return credentials of the profile, log-in or role that boto3 finds, None where it finds none, or is missing."""
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider  # noqa: PLC0415
    except ImportError as error:
        if os.environ.get("AWS_PROFILE"):
            raise MissingExtraError(f"AWS_PROFILE needs one more package: pip install boto3 ({error})") from error
        return None
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415

    try:
        return Boto3CredentialProvider()
    except ValueError:  # it found nothing: obstore asks where the machine may have a role
        return None
    except BotoCoreError as error:
        raise RemotePlaceError(f"the profile of AWS cannot be used: {error}") from error


def _gs(place: RemotePlace, prefix: str | None) -> ObjectStore:
    from obstore.store import GCSStore  # noqa: PLC0415

    names = ("GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH", "GOOGLE_SERVICE_ACCOUNT_KEY")
    provider = None
    if not any(os.environ.get(name) for name in (*names, "GOOGLE_BEARER_TOKEN", "GOOGLE_SKIP_SIGNATURE")):
        with suppress(ImportError):
            provider = _google()
    base = _endpoint(place, "GOOGLE_BASE_URL")
    return GCSStore(
        _bucket(place),
        prefix=prefix,
        credential_provider=provider,
        client_options=_client(base),
        retry_config=_retries(),
    )


def _google() -> Any:
    """Return the log-in that Google's own package finds, None where it finds none. Raises ImportError."""
    from google.auth.exceptions import DefaultCredentialsError  # noqa: PLC0415
    from obstore.auth.google import GoogleCredentialProvider  # noqa: PLC0415

    try:
        return GoogleCredentialProvider()
    except DefaultCredentialsError:
        return None


def _azure(place: RemotePlace, prefix: str | None) -> ObjectStore:
    from obstore.store import AzureStore  # noqa: PLC0415

    config = azure_settings(os.environ, _account(place), place)
    provider = None if {"account_key", "sas_key"} & config.keys() or _has_azure_login() else _azure_identity()
    return AzureStore(
        _bucket(place),
        prefix=prefix,
        credential_provider=provider,
        client_options=_client(config.get("endpoint", "")),
        retry_config=_retries(),
        **config,  # type: ignore[arg-type] # texts by name
    )


def _account(place: RemotePlace) -> str:
    """Return the storage account of ``abfss://container@account.host/…``, empty where none is named."""
    return place.uri.partition("://")[2].partition("/")[0].partition("@")[2].partition(".")[0]


def azure_settings(environment: Mapping[str, str], account: str, place: RemotePlace) -> dict[str, str]:
    """Return account, key and endpoint for obstore as MLflow's and Azure's variables state them.

    Raises SelectionError where no account is named, that of the credentials is another than that of the URI, or the
    endpoint is no URL.
    """
    pairs = (part.partition("=") for part in environment.get("AZURE_STORAGE_CONNECTION_STRING", "").split(";"))
    settings = {name.strip().lower(): value.strip() for name, _, value in pairs}
    account_name = settings.get("accountname") or environment.get("AZURE_STORAGE_ACCOUNT_NAME", "")
    if account and account_name and account != account_name:
        raise SelectionError(
            f"{place}: the credentials in the environment are for the storage account {account_name}; "
            f"run it with those of {account}"
        )
    if not (account or account_name):
        raise SelectionError(
            f"{place}: no storage account is named; set AZURE_STORAGE_CONNECTION_STRING or AZURE_STORAGE_ACCOUNT_NAME, "
            "or write abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/…"
        )
    keys = ("AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_KEY")
    key = settings.get("accountkey") or next((environment[name] for name in keys if environment.get(name)), "")
    values = {
        "account_name": account or account_name,
        "account_key": key,
        "sas_key": settings.get("sharedaccesssignature", "").lstrip("?"),
        "endpoint": settings.get("blobendpoint") or _endpoint_of(settings, account or account_name),
    }
    if values["endpoint"] and not is_endpoint(values["endpoint"]):
        raise SelectionError(
            f"{place}: AZURE_STORAGE_CONNECTION_STRING has no URL of a server as BlobEndpoint, "
            "or no such EndpointSuffix"
        )
    return {name: value for name, value in values.items() if value}


def _endpoint_of(settings: Mapping[str, str], account: str) -> str:
    """Return the endpoint of a cloud of its own, such as that of China, which a connection string names by its end."""
    suffix = settings.get("endpointsuffix", "")
    return f"{settings.get('defaultendpointsprotocol', 'https')}://{account}.blob.{suffix}" if suffix else ""


def _has_azure_login() -> bool:
    """Return whether the environment holds a log-in that obstore reads by itself."""
    names = ("AZURE_STORAGE_SAS_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_TOKEN", "AZURE_CLIENT_SECRET")
    more_names = ("AZURE_STORAGE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_SKIP_SIGNATURE")
    return any(os.environ.get(name) for name in (*names, *more_names))


def _azure_identity() -> Any:
    """Return the log-in that azure-identity finds, None where that package is missing."""
    try:
        from obstore.auth.azure import AzureCredentialProvider  # noqa: PLC0415
    except ImportError:
        return None
    return AzureCredentialProvider()


def _web(place: RemotePlace, folder: str | None) -> ObjectStore:
    from obstore.store import HTTPStore  # noqa: PLC0415

    parts = urlsplit(place.uri)
    url = urlunsplit(parts._replace(path=f"/{folder}" if folder else "/", fragment=""))
    return HTTPStore.from_url(url, client_options=_client(url), retry_config=_retries())


_STORES: Final = {"s3": _s3, "gs": _gs, "az": _azure, "abfss": _azure, "https": _web, "http": _web}
