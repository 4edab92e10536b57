"""One log-in over SSH, as MLflow's own repository makes it: with ~/.ssh/config, keys, agent, or the URI's password."""

from __future__ import annotations

import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final
from urllib.parse import SplitResult

from mlflow_archive.artifact_roots.entry import FILE, FOLDER, FolderEntry
from mlflow_archive.artifact_roots.store import UnreachableError
from mlflow_archive.optional import install

if TYPE_CHECKING:
    from paramiko import SSHClient

_TIMEOUT_SECONDS: Final = 30
_CONFIG: Final = "~/.ssh/config"
_HOSTS_OF_ALL: Final = "/etc/ssh/ssh_known_hosts"
_PORT: Final = 22


class SftpConnection:
    """Files of a server; paths are absolute. Raises OSError and paramiko's errors."""

    def __init__(self, client: SSHClient) -> None:
        self._client = client
        self._sftp = client.open_sftp()

    def entries(self, folder: str) -> list[FolderEntry]:
        return [
            FolderEntry(
                attributes.filename,
                _kind(attributes.st_mode or 0),
                -1 if attributes.st_size is None else attributes.st_size,
                str(attributes.st_mtime),
            )
            for attributes in self._sftp.listdir_attr(folder)
        ]

    def is_folder(self, path: str) -> bool:
        try:
            return stat.S_ISDIR(self._sftp.stat(path).st_mode or 0)
        except FileNotFoundError:
            return False

    def fetch(self, path: str, target: BinaryIO) -> None:
        self._sftp.getfo(path, target)

    def store(self, stream: BinaryIO, path: str) -> None:
        self._sftp.putfo(stream, path)

    def rename(self, path: str, target: str) -> None:
        self._sftp.posix_rename(path, target)

    def remove(self, path: str) -> None:
        self._sftp.remove(path)

    def make_folder(self, path: str) -> None:
        self._sftp.mkdir(path)

    def remove_folder(self, path: str) -> None:
        self._sftp.rmdir(path)

    def is_alive(self) -> bool:
        transport = self._client.get_transport()
        return transport is not None and transport.is_active()

    def close(self) -> None:
        self._client.close()


def _kind(mode: int) -> str:
    if stat.S_ISREG(mode):
        return FILE
    if stat.S_ISDIR(mode):
        return FOLDER
    return "a link, which is not followed" if stat.S_ISLNK(mode) else "neither file nor folder"


def connect_sftp(parts: SplitResult) -> SftpConnection:
    """Log in to the server of a URI, whose key must be known. Raises UnreachableError, OSError, paramiko's errors."""
    try:
        from paramiko import SSHClient  # noqa: PLC0415 - brought by an extra
        from paramiko.ssh_exception import BadHostKeyException, SSHException  # noqa: PLC0415
    except ImportError as error:
        raise UnreachableError(f"sftp: locations need more packages: {install('sftp')} ({error})") from error
    client = SSHClient()  # whose policy is to refuse a server that it does not know
    client.load_system_host_keys()
    with suppress(OSError):
        client.load_system_host_keys(_HOSTS_OF_ALL)
    settings = _settings(parts)
    try:
        client.connect(
            **settings,
            password=parts.password,
            timeout=_TIMEOUT_SECONDS,
            banner_timeout=_TIMEOUT_SECONDS,
            auth_timeout=_TIMEOUT_SECONDS,
        )
        return SftpConnection(client)
    except BadHostKeyException as error:
        client.close()
        raise UnreachableError(f"its key is another than ~/.ssh/known_hosts has for it: {error}") from error
    except SSHException as error:
        client.close()
        if "known_hosts" not in str(error):
            raise
        hint = f"look at its key with `ssh -p {settings['port']} {settings['hostname']}`, which asks and remembers it"
        raise UnreachableError(f"{error}; {hint}") from error
    except BaseException:
        client.close()
        raise


def _settings(parts: SplitResult) -> dict[str, Any]:
    """Return host, port, user and keys: those of the URI before those of ~/.ssh/config."""
    from paramiko import SSHConfig  # noqa: PLC0415

    host = parts.hostname or "localhost"
    config = SSHConfig()
    with suppress(FileNotFoundError), Path(_CONFIG).expanduser().open(encoding="utf-8") as file:
        config.parse(file)
    known = config.lookup(host)
    return {
        "hostname": known.get("hostname", host),
        "port": parts.port or int(known.get("port", _PORT)),
        "username": parts.username or known.get("user"),
        "key_filename": known.get("identityfile"),
    }
