"""PostgreSQL holds texts to the lengths of their columns; SQLite does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.replay.conftest import Place
from tests.replay.looking import logged_models, state, versions
from tests.support.databases import PostgresServer


def test_all_of_it_into_postgresql(archive: Path, postgres: PostgresServer, tmp_path: Path) -> None:
    uri = postgres.new_database().replace("postgresql:", "postgresql+psycopg2:")
    place = Place(uri=uri, folder=tmp_path, artifact_root=str(tmp_path), prefix="pg")
    assert place.replay(archive).gaps == []
    assert sorted(versions(place, "many")) == [n for n in range(1, 15) if n not in (3, 7)]
    assert len(logged_models(place, "main")) == 5
    before = state(place)
    again = place.replay(archive)
    outcomes: Any = again.details["outcomes"]
    assert {kind: (done["created"], done["updated"]) for kind, done in outcomes.items()} == {
        "logged_model": (0, 0),
        "registered_model": (0, 0),
        "model_version": (0, 0),
    }
    assert (again.gaps, state(place)) == ([], before)
