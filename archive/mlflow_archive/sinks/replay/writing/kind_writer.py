"""The base of what writes the objects of one family of kinds."""

from __future__ import annotations

from mlflow_archive.flow.chunk import Chunk


class KindWriter:
    """Writes the objects of ``kinds``; safe to repeat, so it looks first for what the target has already.

    Each object gets an id in the receipt (``receipt.mapped``), an outcome (``receipt.done``) or a refusal.
    """

    kinds: tuple[str, ...]

    def write(self, chunk: Chunk) -> None:
        """Write what a chunk holds of ``kinds``; called from several threads.

        Called only with chunks that hold some of ``kinds``, or that go on with a shard in which there were some; and
        only when the chunks of all kinds that these refer to have been written. Runs and experiments stay active
        until ``delete``.
        """
        raise NotImplementedError

    def finish(self) -> None:
        """Write what waited for other kinds: all chunks have come, and nothing is deleted yet."""

    def delete(self) -> None:
        """Delete what is deleted at the source; called once every ``finish`` is done, for owners last."""

    def after_deletion(self) -> None:
        """Write what MLflow would have deleted together with a run."""
