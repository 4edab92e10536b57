"""Whether an append fits its archive: it reads the same source, as ids of two mean other things, and hides nothing."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from mlflow_archive.errors import SelectionError, TargetError
from mlflow_archive.flow.source import SourceFacts
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.writer.base import Base, experiment_facts


class SameSource:
    """Compares experiments of a source with those of the same id in an archive, ``base``.

    One whose creation time is another was not made by the same server. Where the archive has nothing from this
    place, which may be a server whose database is read now, an experiment of another name was not either.
    """

    def __init__(self, base: Base, facts: SourceFacts) -> None:
        self._uri = facts.uri
        self._earlier = [dict(export.source) for export in base.manifest.exports]
        self._experiments = {experiment_id: (created, name) for experiment_id, created, name in base.experiments()}

    @property
    def is_known_place(self) -> bool:
        """Return whether an export of the archive has the URI of the source."""
        return any(source.get("uri") == self._uri for source in self._earlier)

    def note(self) -> str:
        """Return what a person may want to know of a new place."""
        return f"the archive was made from {self._earlier[-1].get('uri')}; what is added comes from {self._uri}"

    def check(self, tables: Mapping[str, pa.Table]) -> None:
        """Look at the experiments of a chunk. Raises TargetError at one that the archive has from another source."""
        for experiment_id, created, name in experiment_facts(tables["experiments"]) if "experiments" in tables else ():
            held_created, held_name = self._experiments.get(experiment_id, (None, name))
            if None not in (created, held_created) and created != held_created:
                raise self._other(experiment_id, "was made at another time")
            if name != held_name and not self.is_known_place:
                raise self._other(experiment_id, f"is {name!r} there and {held_name!r} in the archive")

    def _other(self, experiment_id: str, difference: str) -> TargetError:
        return TargetError(
            f"{self._uri} is not the source of this archive ({self._earlier[-1].get('uri')}): experiment "
            f"{experiment_id} {difference}. Runs of both would lie in one experiment, so nothing was added. Export it "
            "into an archive of its own, or give --same-source if it is the same source all the same"
        )


def check_versions_whole(base: Base, selection: Selection) -> None:
    """Raise SelectionError where some versions of registered models would be added to an archive that holds such.

    The rows of a registered model are those of the newest export that holds it, its versions among them: those that
    an earlier export brought would be hidden.
    """
    if selection.chooses_versions and base.holds_registered_models():
        raise SelectionError(
            "--versions, --stages and --latest-versions do not go with --append to an archive that holds registered "
            "models: the versions that it has would be hidden. Export them into a new archive, or append all versions"
        )
