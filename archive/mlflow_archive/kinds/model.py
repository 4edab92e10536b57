"""What a table of an archive is: its columns, who owns its rows, how they are sorted (spec/tables.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from mlflow_archive.kinds.files import ObjectFiles
from mlflow_archive.kinds.owner_id import OWNER_SEPARATOR, QUALIFIERS, Qualifier

TIMESTAMP: Final = pa.timestamp("ms", tz="UTC")

RUN: Final = "run"
EXPERIMENT: Final = "experiment"
DATASET: Final = "dataset"
LOGGED_MODEL: Final = "logged_model"
TRACE: Final = "trace"
REGISTERED_MODEL: Final = "registered_model"
MODEL_VERSION: Final = "model_version"
"""No kind of its own: versions belong to their model."""
EVALUATION_DATASET: Final = "evaluation_dataset"
SCORER: Final = "scorer"
LABEL_SCHEMA: Final = "label_schema"
REVIEW_QUEUE: Final = "review_queue"
ISSUE: Final = "issue"
WEBHOOK: Final = "webhook"
GATEWAY_SECRET: Final = "gateway_secret"  # noqa: S105 - a kind, no secret
GATEWAY_ENDPOINT: Final = "gateway_endpoint"
MODEL_DEFINITION: Final = "model_definition"
BUDGET_POLICY: Final = "budget_policy"
GUARDRAIL: Final = "guardrail"
MCP_SERVER: Final = "mcp_server"
WORKSPACE: Final = "workspace"
BY_ROW: Final = "*"  # the column ``owner_kind`` of each row says which kind owns it


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column. A ``location`` is a URI or a path.

    ``origin`` names the column of MLflow's database that it comes from, or with a capital letter a field of the API.
    """

    name: str
    type: pa.DataType
    nullable: bool
    origin: str
    description: str
    byte_stream_split: bool = False
    delta: bool = False
    location: bool = False

    @property
    def field(self) -> pa.Field:
        return pa.field(self.name, self.type, self.nullable)

    @property
    def database_column(self) -> str:
        """``table.column`` of MLflow's database, empty for what no database has."""
        first = self.origin.partition(",")[0]
        return first if "." in first and first[0].islower() else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """A column of MLflow's database that follows from rows of an archive: why it does, and how."""

    name: str
    reason: str
    of_rows: Callable[[pa.Table], pa.Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One kind of record.

    ``entity`` is the kind that owns a row, and of which the newest export wins (spec/format.md, "Newest export");
    the columns ``owner``, a prefix of ``key``, identify that entity. Where ``entity`` is BY_ROW, each row names the
    kind in ``owner_kind``; where it is None, rows belong to the archive itself and are never superseded.

    ``derived`` are columns of MLflow's database, which no archive has.

    Rows are sorted by ``sort``, which starts with ``key``; where ``unique``, two rows with equal keys are one record
    and the first is kept.
    """

    name: str
    entity: str | None
    owner: tuple[str, ...]
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    description: str
    unique: bool = True
    extra_sort: tuple[str, ...] = ()
    derived: tuple[Derived, ...] = ()

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([c.field for c in self.columns])

    @property
    def sort(self) -> tuple[str, ...]:
        return self.key + self.extra_sort

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListView:
    """A list that ``ls`` gives: its word there, and the columns shown where none are asked for.

    ``note`` says more in the help; ``of`` names what is listed where that is not the kind itself, ``filter`` which
    objects of it, in MLflow's search syntax. ``also`` is what else people call it, beside the singular of ``word``.
    Where ``newest`` names a time, the latest come first.
    """

    word: str
    columns: tuple[str, ...]
    note: str = ""
    of: str = ""
    filter: str = ""
    also: tuple[str, ...] = ()
    newest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of object.

    ``owner`` are the columns that name an object, the first ones of each of its tables. ``files`` says where its files
    lie, None where it can have none.
    ``refers`` names the kinds that its objects refer to and that come before it. What refers the other way, as a run to
    the logged models it made or an endpoint to the scorers it serves, is for a sink to keep until the end.
    ``word`` is what ``--only`` and ``--without`` call it, where it does not come with what lies in it; several kinds
    may share one. An ``incremental`` kind has fingerprints: an append reads only what changed, where all other kinds
    come whole with each export. ``largest`` is a table of it that may not fit into memory: its rows may come in several
    chunks. ``keeps_blank_texts`` says that an empty text in an answer of the API is one, where in those of other kinds
    it says that nothing is set. ``prefix_mark`` is what an import puts between the name of a workspace and that of an
    object, where those of several workspaces go into one.
    """

    name: str
    owner: tuple[Column, ...]
    refers: tuple[str, ...] = ()
    word: str = ""
    lists: tuple[ListView, ...] = ()
    incremental: bool = False
    largest: str = ""
    files: ObjectFiles | None = None
    keeps_blank_texts: bool = False
    prefix_mark: str = "."

    @property
    def plural(self) -> str:
        """What people call several of these objects: ``logged models``."""
        return (self.lists[0].word if self.lists else f"{self.name}s").replace("-", " ").replace("_", " ")

    def table(
        self,
        name: str,
        description: str,
        *columns: Column,
        owner: tuple[Column, ...] = (),
        key: tuple[str, ...] = (),
        unique: bool = True,
        extra_sort: tuple[str, ...] = (),
        derived: tuple[Derived, ...] = (),
    ) -> Table:
        """Return a table whose rows objects of this kind own.

        ``key`` are the columns of its key behind the owner's; ``owner`` are these where they come from elsewhere.
        """
        owner = owner or self.owner
        names = tuple(column.name for column in owner)
        return Table(
            name=name,
            entity=self.name,
            owner=names,
            key=names + key,
            columns=owner + columns,
            description=description,
            unique=unique,
            extra_sort=extra_sort,
            derived=derived,
        )

    def tags(self, name: str, description: str, *of: Column, stored_in: str = "", value: str = "Tag value.") -> Table:
        """Return a table of tags of objects, or of what the columns ``of`` identify in one; a value may be null."""
        place = stored_in or name
        columns = (text("key", f"{place}.key", "Tag key."), text("value", f"{place}.value", value, null=True))
        return self.table(name, description, *of, *columns, key=(*(column.name for column in of), "key"))


def is_identity(table: Table) -> bool:
    """Say whether a table's rows are the entities of its kind themselves (spec/format.md, section 8)."""
    return table.entity not in (None, BY_ROW) and table.key == table.owner


def is_named(table: Table) -> bool:
    """Return whether the entities that own the rows of a table have a name instead of an id: one that is qualified."""
    return len(table.owner) > 1 and all(name in QUALIFIERS for name in table.owner[1:])


def qualifiers(table: Table) -> list[tuple[str, Qualifier]]:
    """Return the columns that qualify the name of the entities that own the rows of a table, the innermost first."""
    return [(name, QUALIFIERS[name]) for name in reversed(table.owner[1:])] if is_named(table) else []


def owner_id(table: Table, row: Mapping[str, Any]) -> str:
    """Return what ``owner_id`` calls the entity that owns a row of a table, if its first columns name one."""
    if not is_named(table):
        return OWNER_SEPARATOR.join(str(row[name]) for name in table.owner)
    name = str(row[table.owner[0]])
    for column, qualifier in qualifiers(table):
        name = qualifier.before(name, row[column])
    return name


def listing(word: str, columns: str, *, also: str = "", **more: str) -> ListView:
    return ListView(word=word, columns=tuple(columns.split()), also=tuple(also.split()), **more)


def text(name: str, origin: str, description: str, *, null: bool = False) -> Column:
    return Column(name=name, type=pa.string(), nullable=null, origin=origin, description=description)


def uri(name: str, origin: str, description: str, *, null: bool = True) -> Column:
    return Column(name=name, type=pa.string(), nullable=null, origin=origin, description=description, location=True)


def time(name: str, origin: str, description: str, *, null: bool = True) -> Column:
    return Column(name=name, type=TIMESTAMP, nullable=null, origin=origin, description=description)


def integer(name: str, origin: str, description: str, *, null: bool = False, delta: bool = False) -> Column:
    return Column(name=name, type=pa.int64(), nullable=null, origin=origin, description=description, delta=delta)


def real(name: str, origin: str, description: str, *, null: bool = True) -> Column:
    return Column(name=name, type=pa.float64(), nullable=null, origin=origin, description=description)


def flag(name: str, origin: str, description: str, *, null: bool = True) -> Column:
    return Column(name=name, type=pa.bool_(), nullable=null, origin=origin, description=description)


def made(table: str) -> tuple[Column, ...]:
    """Return the columns of MLflow's newer tables that say who made and changed a row, and when."""
    return (
        text("created_by", f"{table}.created_by", "Who made it.", null=True),
        time("created_at", f"{table}.created_at", "When it was made."),
        text("last_updated_by", f"{table}.last_updated_by", "Who changed it.", null=True),
        time("last_updated_at", f"{table}.last_updated_at", "When it last changed."),
    )
