"""The workspaces of a server: each is read with its name in every request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from mlflow_archive.errors import SelectionError, ServerError
from mlflow_archive.flow.chunk import Gap
from mlflow_archive.http.refusals import is_unknown_request
from mlflow_archive.http.session import TrackingSession
from mlflow_archive.kinds import WORKSPACE
from mlflow_archive.sources.reading.fields import Fields, refuse, row_of
from mlflow_archive.sources.rest.answers import unread_beside
from mlflow_archive.sources.rest.cells import UNREADABLE_ROW, Row, unexpected_shape
from mlflow_archive.sources.rest.lists import rows_of
from mlflow_archive.sources.rest.scope import gap_of

_INFO: Final = "/api/3.0/mlflow/server-info"
_WORKSPACES: Final = "/api/3.0/mlflow/workspaces"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceList:
    """The rows of workspaces, and gaps of what could not be read.

    ``unread`` has names of workspaces with the fields that nobody asked for. ``divided`` says whether each is read on
    its own.
    """

    rows: list[Row] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    unread: list[tuple[str, list[str]]] = field(default_factory=list)
    divided: bool = True


def workspaces_of(session: TrackingSession) -> WorkspaceList | None:
    """Return the workspaces to read: all that this user sees, or the one that the session names.

    None where the server keeps none apart. One that refuses to say so is read as it is, with a gap. Raises
    SelectionError where there is no workspace of that name.
    """
    try:
        answer = session.get(_INFO)
    except ServerError as exc:
        if exc.status is None or (exc.status >= HTTPStatus.INTERNAL_SERVER_ERROR and not is_unknown_request(exc)):
            raise
        if exc.status not in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return None
        reason = f"the server does not say whether it keeps workspaces apart: {exc}"
        return WorkspaceList(gaps=[gap_of(WORKSPACE, "", "", reason)], divided=False)
    if not (isinstance(answer, Mapping) and answer.get("workspaces_enabled")):
        return None
    return all_workspaces(session, only=session.workspace)


def all_workspaces(session: TrackingSession, *, only: str | None = None) -> WorkspaceList:
    """Return all workspaces that this user sees, or ``only`` one. Raises SelectionError where there is no such one."""
    workspaces = WorkspaceList()
    answer = session.get(_WORKSPACES)
    rows = rows_of(session, answer, "workspaces")
    workspaces.unread.append(("", unread_beside(answer, "workspaces")))
    for raw in rows:
        workspace = Fields(raw, refuse, blank_is_null=True)
        try:
            row = _row(workspace)
        except UNREADABLE_ROW as exc:
            workspaces.gaps.append(gap_of(WORKSPACE, str(raw.get("name")), "", unexpected_shape(exc)))
            continue
        if only in (None, row["name"]):
            workspaces.rows.append(row)
            workspaces.unread.append((row["name"], list(workspace.unread())))
    if only is not None and not workspaces.rows:
        raise SelectionError(f"{session.uri} has no workspace {only!r} (MLFLOW_WORKSPACE) that this user sees")
    if not workspaces.rows:
        unreadable = f", and {len(workspaces.gaps)} in an unexpected shape" if workspaces.gaps else ""
        message = (
            f"{session.uri} keeps workspaces apart and shows this user none{unreadable}; export as a user who sees"
        )
        raise ServerError(f"{message} those to be exported", status=HTTPStatus.FORBIDDEN)
    return workspaces


def _row(workspace: Fields) -> Row:
    archival = workspace.object("trace_archival_config")
    return row_of(
        "workspaces",
        workspace,
        trace_archival_location=archival.location("location"),
        trace_archival_retention=archival.text("retention"),
    )
