"""What both codes export: made once, and then only read."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Final

from tests.sinks.filled_servers import add_odd_objects
from tests.support.corpora import EXIM_SAMPLES, FILE_STORES, exim_sample, store_path
from tests.support.everything import fill
from tests.support.exim_objects import write_everything
from tests.support.filling.http import Http
from tests.support.full_store import make_full_store
from tests.support.mlflow_server import MlflowServer, running_server

_ENVIRONMENT: Final = {
    "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": base64.urlsafe_b64encode(bytes(range(32))).decode(),
    "MLFLOW_ICON_URL_ALLOW_PRIVATE_IPS": "true",
}


def fill_all(data: Path) -> None:
    """Fill a server, a file store and a folder of exim's form, and copy real stores beside them."""
    files = data / "files"
    files.mkdir(parents=True)
    with chdir(files), running_server(data / "server", environment=_ENVIRONMENT) as server:
        add_odd_objects(Http(uri=server.uri), fill(server.uri, files))
    make_full_store(files)
    (files / "mlruns").rename(data / "mlruns")
    write_everything(data / "exim")
    for number, (corpus, store) in enumerate(FILE_STORES):
        shutil.copytree(store_path(corpus, store), data / f"mlruns-{number}")
    for number, name in enumerate(EXIM_SAMPLES):
        shutil.copytree(exim_sample(name), data / f"exim-{number:02}")


@contextmanager
def source_server(data: Path, folder: Path) -> Iterator[MlflowServer]:
    """Run the filled server on a copy of its database: it writes when it is read, too."""
    folder.mkdir(parents=True)
    shutil.copyfile(data / "server" / "mlflow.db", folder / "mlflow.db")
    with running_server(folder, artifacts=data / "server" / "artifacts", environment=_ENVIRONMENT) as server:
        yield server
