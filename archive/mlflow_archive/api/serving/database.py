"""An archive as a SQLite file for MLflow, made once and kept in a cache.

The file holds all rows but no artifact: these are read from the archive. What it says is derived from the archive
alone, so it can be removed at any time.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sqlite3
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

from mlflow_archive import __version__
from mlflow_archive.api.restoring import look_ahead
from mlflow_archive.api.serving.location import State, artifact_root
from mlflow_archive.errors import TargetError
from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Progress, Quiet
from mlflow_archive.mlflow_database.mapping import MAPS
from mlflow_archive.reader.archive import Archive, open_archive
from mlflow_archive.reader.source import ArchiveSource
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sinks.restore import RestoreOptions, RestoreSink
from mlflow_archive.sinks.restore.locate import locate_database
from mlflow_archive.verification.taken import check_taken

_NUMBER: Final = re.compile("[0-9]{1,18}", re.ASCII)
_FORGET_SECONDS: Final = 30 * 86400
_FORGET_WORK_SECONDS: Final = 2 * 86400


def cache_folder() -> Path:
    """Return where such files are kept: ``$XDG_CACHE_HOME/mlflow-archive``, by default below ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "mlflow-archive"


def database_of(state: State, *, folder: Path | None = None, progress: Progress | None = None) -> Path:
    """Return the SQLite file of an archive, made if it is not there yet; safe to call from several processes.

    Artifact locations in it name the archive at its path. Files unused for 30 days are removed when one is made.
    Raises ArchiveError, TargetError where the cache cannot be written to.
    """
    folder = folder or cache_folder()
    with open_archive(state.path, at=state.at) as archive:
        archive.require_whole("`serve`")
        names = "\x1f".join((__version__, archive.id, artifact_root(state)))
        target = folder / f"{hashlib.sha256(names.encode()).hexdigest()[:32]}.db"
        if target.exists():
            with suppress(OSError):  # a cache on a read-only disk serves as well
                target.touch()
        else:
            with _working_folder(folder) as temporary:
                _forget(folder)
                database = Path(temporary, "mlflow.db")
                _restore(archive, state, database, progress or Quiet())
                _prepare(database)
                database.chmod(0o400)
                database.replace(target)
    return target


def _working_folder(folder: Path) -> tempfile.TemporaryDirectory[str]:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return tempfile.TemporaryDirectory(dir=folder)
    except OSError as error:
        raise TargetError(
            f"{folder} cannot be written to: {error.strerror}; name another folder for it in XDG_CACHE_HOME"
        ) from error


def _forget(folder: Path) -> None:
    """Remove databases that nobody has opened for long, and what a killed process has left."""
    for entry in folder.iterdir():
        with suppress(OSError):  # in use by another process, which removes it
            age = time.time() - entry.stat().st_mtime
            if entry.is_dir() and age > _FORGET_WORK_SECONDS:
                shutil.rmtree(entry)
            elif entry.suffix == ".db" and age > _FORGET_SECONDS:
                entry.unlink()


def _restore(archive: Archive, state: State, target: Path, progress: Progress) -> None:
    ids = archive.table("experiments", columns=["experiment_id"])["experiment_id"].to_pylist()
    if strange := [experiment_id for experiment_id in ids if not _NUMBER.fullmatch(experiment_id)]:
        raise TargetError(
            f"MLflow's pages and client know only numbers as ids of experiments; {archive.path} has {strange[0]!r}. "
            "The other commands and Python read it, and an import gives new ids"
        )
    # Of the packs nothing is checked before: no artifact is read.
    check_taken(archive, Selection(artifacts=False))
    database = locate_database(f"sqlite:///{target}")
    root = artifact_root(state)
    options = RestoreOptions(artifact_root=root, artifacts_destination=root, write_artifacts=False)
    try:
        database.open()
        look_ahead(archive, database, options, Selection())
        sink = RestoreSink(database, options=options, progress=progress)
        copy(ArchiveSource(archive), sink, Selection(), jobs=2, progress=progress)
    finally:
        database.rollback()


def _prepare(target: Path) -> None:
    """Put in what MLflow would write itself at the first look, and bring all workspaces into the default one."""
    with closing(sqlite3.connect(target)) as connection, connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        try:
            _join_workspaces(connection)
        except sqlite3.IntegrityError as error:
            raise TargetError(
                "MLflow's pages show one workspace, and two objects of the archive would have one name there "
                f"({error}). The other commands and Python read it"
            ) from error
        connection.execute(
            "INSERT OR IGNORE INTO experiments "
            "(experiment_id, name, artifact_location, lifecycle_stage, creation_time, last_update_time, workspace) "
            "SELECT 0, 'Default', '', 'deleted', 0, 0, 'default' "
            "WHERE NOT EXISTS (SELECT 1 FROM experiments WHERE experiment_id = 0 OR name = 'Default')"
        )
        _seed_label_schemas(connection)


def _join_workspaces(connection: sqlite3.Connection) -> None:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    for rows in MAPS.values():
        if rows.stored_in in tables and {"name", "workspace"} <= rows.fields.keys():
            name = rows.fields["name"]
            connection.execute(
                f"UPDATE {rows.stored_in} SET {name} = workspace || '/' || {name}, "  # noqa: S608 - constants
                "workspace = 'default' WHERE workspace <> 'default'"
            )


def _seed_label_schemas(connection: sqlite3.Connection) -> None:
    """Give each experiment the question that MLflow adds when label schemas are listed (its sqlalchemy_store)."""
    from mlflow.genai.label_schemas.label_schemas import InputText, LabelSchema, LabelSchemaType  # noqa: PLC0415
    from mlflow.store.tracking.dbmodels.models import SqlLabelSchema  # noqa: PLC0415

    ids = connection.execute(
        "SELECT experiment_id FROM experiments WHERE experiment_id NOT IN "
        "(SELECT experiment_id FROM label_schemas WHERE is_default OR name = 'Feedback')"
    ).fetchall()
    for (experiment_id,) in ids:
        schema: Any = SqlLabelSchema.from_mlflow_entity(
            LabelSchema(
                schema_id=f"{SqlLabelSchema.LABEL_SCHEMA_ID_PREFIX}{experiment_id}",
                experiment_id=str(experiment_id),
                name="Feedback",
                type=LabelSchemaType.FEEDBACK,
                input=InputText(),
                enable_comment=False,
                is_default=True,
            )
        )
        values = {column.name: getattr(schema, column.name) for column in SqlLabelSchema.__table__.columns}
        values |= {"created_time": values["created_time"] or 0, "last_update_time": values["last_update_time"] or 0}
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        connection.execute(f"INSERT INTO label_schemas ({names}) VALUES ({marks})", tuple(values.values()))  # noqa: S608
