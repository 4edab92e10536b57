"""URIs of backend databases, in the spellings that MLflow takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from mlflow_archive.errors import SelectionError

DIALECTS: Final = ("sqlite", "postgresql", "mysql")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseUri:
    """A database. ``dialect`` is one of DIALECTS, ``shown`` has neither user nor password, ``path`` SQLite's file."""

    dialect: str
    url: URL
    shown: str
    path: Path | None = None

    @property
    def libpq(self) -> str:
        """The connection for PostgreSQL's own client library, password included.

        In its form of keywords: of a URI that it cannot read, the library shows the password.
        """
        # Slow to import, and not needed for other databases.
        from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2  # noqa: PLC0415

        _, keywords = PGDialect_psycopg2().create_connect_args(self.url)  # type: ignore[no-untyped-call]
        return " ".join(f"{name}='{_escaped(str(value))}'" for name, value in keywords.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")


def parse_database_uri(uri: str) -> DatabaseUri:
    """Return the parts of a URI. Raises SelectionError for one that names no database we know."""
    try:
        url = make_url(uri)
    except (ArgumentError, ValueError) as error:
        raise SelectionError(
            "that is no database URI; give sqlite:///PATH, postgresql://USER:PASSWORD@HOST/NAME or mysql://…"
        ) from error
    dialect = {"postgres": "postgresql", "mariadb": "mysql"}.get(url.get_backend_name(), url.get_backend_name())
    if dialect not in DIALECTS:
        raise SelectionError(
            f"databases of the kind {dialect} cannot be read directly; start `mlflow server --backend-store-uri …` "
            "on it and give the server's URI, http://…"
        )
    if dialect == "sqlite":
        return _sqlite(url)
    if not url.database:
        raise SelectionError(f"{_shown(url)} names no database; add its name behind the host: …/mlflow")
    if url.get_backend_name() == "postgres":
        url = url.set(drivername=url.drivername.replace("postgres", "postgresql", 1))
    return DatabaseUri(dialect=dialect, url=url, shown=_shown(url))


def _sqlite(url: URL) -> DatabaseUri:
    name = url.database or ""
    if name in ("", ":memory:"):
        raise SelectionError("a SQLite database in memory cannot be read from outside; give sqlite:///PATH")
    # MLflow's own spelling for read-only access is sqlite:///file:/abs/mlflow.db?mode=ro&uri=true.
    path = Path(name.removeprefix("file:"))
    return DatabaseUri(dialect="sqlite", url=url, shown=f"sqlite:///{path}", path=path)


def _shown(url: URL) -> str:
    """Return a URI that anybody may see: no user, no password, no options, which may hold either."""
    return URL.create(url.drivername, host=url.host, port=url.port, database=url.database).render_as_string()
