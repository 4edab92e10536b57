"""Packs on their way into a bucket: each is put there as soon as it is whole, and takes no room here any more."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import pyarrow as pa

from mlflow_archive.storage.growing import GrowingFiles
from mlflow_archive.storage.remote.store import RemoteStore
from mlflow_archive.writer.blob_rows import tables_of_packs
from mlflow_archive.writer.packs import WrittenPack


class PackSender:
    """Puts packs that grow at ``place`` into a bucket, one at a time, while the next one grows. A ``packs.Sender``.

    ``name_there`` gives a pack the name that it gets there. ``noted`` hears of each that is there, with its rows of the
    blob index; then its file goes. Both are called by a thread of its own, in the order of the packs.
    """

    def __init__(
        self,
        store: RemoteStore,
        place: GrowingFiles,
        *,
        name_there: Callable[[str], str],
        noted: Callable[[WrittenPack, Iterable[pa.Table]], None],
    ) -> None:
        self._store, self._place, self._name_there, self._noted = store, place, name_there, noted
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="upload")
        self._upload: Future[None] | None = None

    def send(self, pack: WrittenPack) -> None:
        """Put a pack into the bucket once the one before is there, so that two are here at most: it, and the next."""
        self.wait()
        self._upload = self._thread.submit(self._send, pack)

    def _send(self, pack: WrittenPack) -> None:
        sent = replace(pack, name=self._name_there(pack.name))
        self._store.put(sent.name, self._place.path(pack.name))
        self._noted(sent, tables_of_packs(self._place, {pack.name: sent.name}))
        self._place.remove(pack.name)

    def wait(self) -> None:
        if self._upload is not None:
            future, self._upload = self._upload, None
            future.result()

    def close(self) -> None:
        self._thread.shutdown()
