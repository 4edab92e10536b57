"""One log-in to an FTP server, as MLflow's own repository makes it."""

from __future__ import annotations

import ftplib
import posixpath
from typing import BinaryIO, Final
from urllib.parse import SplitResult, unquote

from mlflow_archive.artifact_roots.entry import FILE, FOLDER, FolderEntry

_TIMEOUT_SECONDS: Final = 30
_UNKNOWN: Final = ("500", "502", "504")
"""How a server answers a command that it does not know (RFC 959, 4.2)."""


class FtpConnection:
    """Files of an FTP server; paths are absolute. Raises ftplib's errors, and FileNotFoundError."""

    def __init__(self, ftp: ftplib.FTP) -> None:
        self._ftp = ftp

    def entries(self, folder: str) -> list[FolderEntry]:
        try:
            return self._listed(folder)
        except ftplib.error_perm as error:  # 550 is what is not there, and what may not be read
            if not self._is_there(folder):
                raise FileNotFoundError(f"{folder} is not there") from error
            return self._listed(folder)  # again: it may have been made meanwhile

    def is_folder(self, path: str) -> bool:
        try:
            self._ftp.cwd(path)
        except ftplib.error_perm:
            return False
        return True

    def fetch(self, path: str, target: BinaryIO) -> None:
        try:
            self._ftp.retrbinary(f"RETR {path}", target.write)
        except ftplib.error_perm as error:
            if self._is_there(path):
                raise
            raise FileNotFoundError(f"{path} is not there") from error

    def store(self, stream: BinaryIO, path: str) -> None:
        self._ftp.storbinary(f"STOR {path}", stream)

    def rename(self, path: str, target: str) -> None:
        self._ftp.rename(path, target)

    def remove(self, path: str) -> None:
        self._ftp.delete(path)

    def make_folder(self, path: str) -> None:
        self._ftp.mkd(path)

    def remove_folder(self, path: str) -> None:
        self._ftp.rmd(path)

    def is_alive(self) -> bool:
        try:
            self._ftp.voidcmd("NOOP")
        except Exception:  # it is closed, broken off, or amid an answer: one of many kinds of errors
            return False
        return True

    def close(self) -> None:
        self._ftp.close()

    def _listed(self, folder: str) -> list[FolderEntry]:
        try:
            facts = list(self._ftp.mlsd(folder))
        except ftplib.error_perm as error:
            if not str(error).startswith(_UNKNOWN):
                raise
            return self._examined(folder)
        kinds = {"file": FILE, "dir": FOLDER}
        return [
            FolderEntry(
                name,
                kinds.get(fact["type"].lower(), f"of the type {fact['type']!r}"),
                int(fact.get("size", -1)),
                fact.get("modify"),
            )
            for name, fact in facts
            if fact["type"].lower() not in ("cdir", "pdir")
        ]

    def _examined(self, folder: str) -> list[FolderEntry]:
        """Return what lies in a folder of a server that knows no MLSD (RFC 3659), by questions for each name."""
        names: list[str] = []
        self._ftp.cwd(folder)
        answer = self._ftp.retrlines(f"NLST {folder}", names.append)
        if "fail" in answer.lower():  # vsftpd: "226 Transfer done (but failed to open directory)."
            raise ftplib.error_perm(answer)  # noqa: S321 - an error, no call
        paths = [posixpath.join(folder, posixpath.basename(name)) for name in names]
        return [self._entry(path) for path in paths if posixpath.basename(path) not in ("", ".", "..")]

    def _entry(self, path: str) -> FolderEntry:
        name = posixpath.basename(path)
        if self.is_folder(path):
            return FolderEntry(name, FOLDER, 0, None)
        self._ftp.voidcmd("TYPE I")
        size = self._ftp.size(path)
        return FolderEntry(name, FILE, -1 if size is None else size, None)

    def _is_there(self, path: str) -> bool:
        """Return whether something is at a path, or cannot be known not to be."""
        if path == "/":
            return True
        folder, name = posixpath.split(path)
        try:
            return any(entry.name == name for entry in self._listed(folder))
        except ftplib.error_perm:
            return self._is_there(folder)


def connect_ftp(parts: SplitResult) -> FtpConnection:
    """Log in with the user and the password of a URI, the latter percent-decoded; without a user as anonymous."""
    ftp = ftplib.FTP(timeout=_TIMEOUT_SECONDS, encoding="utf-8")  # noqa: S321 - the user's server speaks no other
    try:
        ftp.connect(parts.hostname or "localhost", parts.port or ftplib.FTP_PORT)
        ftp.login(parts.username or "", unquote(parts.password or ""))
    except BaseException:
        ftp.close()
        raise
    return FtpConnection(ftp)
