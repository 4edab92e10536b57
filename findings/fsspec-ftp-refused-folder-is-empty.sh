#!/usr/bin/env bash
# A folder that an FTP server refuses to list is an empty one for fsspec's file system, and find() has no files of it.
#
# Seen with fsspec 2026.9.0 on a folder with one file, whose listing pyftpdlib 2.2.0 answers with 550:
#   ls("/closed")   []          find("/")   ["/open.txt"]
# Expected: an error, as of ftplib itself (error_perm), or as of fsspec's SFTP: PermissionError. The cause: ls() looks up
# what was refused in its parent, finds that it is a folder, and returns the list that it began with.
# What follows for who copies from FTP servers: ask ftplib, or compare an empty folder with what LIST answers.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check fsspec==2026.9.0 pyftpdlib==2.2.0
cat > show.py <<'P'
import ftplib
import threading
import warnings
from pathlib import Path

import fsspec

warnings.simplefilter("ignore", DeprecationWarning)
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.filesystems import AbstractedFS
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer

root = Path("files").resolve()
(root / "closed").mkdir(parents=True)
(root / "closed" / "inside.txt").write_text("lost")
(root / "open.txt").write_text("found")


class Refusing(AbstractedFS):
    def listdir(self, path):
        if path.endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return super().listdir(path)


class Handler(FTPHandler):
    authorizer = DummyAuthorizer()
    abstracted_fs = Refusing


Handler.authorizer.add_anonymous(str(root))
server = FTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, kwargs={"handle_exit": False}, daemon=True).start()
host, port = server.address
ftp = ftplib.FTP()
ftp.connect(host, port)
ftp.login()
try:
    list(ftp.mlsd("/closed"))
except ftplib.error_perm as error:
    print("ftplib", error)
files = fsspec.filesystem("ftp", host=host, port=port)
print("ls", files.ls("/closed"))
print("find", files.find("/"))
assert files.ls("/closed") == []
assert files.find("/") == ["/open.txt"]
P
venv/bin/python show.py
echo "as seen before"
