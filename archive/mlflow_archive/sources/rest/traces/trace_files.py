"""The payload of a trace and its attachments, wherever they lie.

Spans lie in the server's database, in the artifact ``traces.json``, or in ``traces.pb`` at the place that a tag names.
Attachments are artifacts in all three cases. A server keeps traces without artifacts by the million, so the folder
of all traces of an experiment is listed first, once.
"""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock
from typing import Any, Final

from mlflow_archive.artifact_roots import Listing
from mlflow_archive.artifact_roots.attachments import FOLDER, attachments_in, attachments_in_files
from mlflow_archive.artifact_roots.roots import PROXY
from mlflow_archive.errors import ServerError
from mlflow_archive.format import gaps as gap_codes
from mlflow_archive.http.refusals import check_answered
from mlflow_archive.kinds import TRACE
from mlflow_archive.sources.rest.artifacts import Owner
from mlflow_archive.sources.rest.cells import UNREADABLE_ROW, Row
from mlflow_archive.sources.rest.scope import Scope
from mlflow_archive.sources.rest.traces.spans import span_row, span_texts
from mlflow_archive.sources.rest.traces.trace_records import TraceRecord

_PAYLOAD: Final = "/ajax-api/2.0/mlflow/get-trace-artifact"
_PLACE_TAG: Final = "mlflow.artifactLocation"
_HOME_TAG: Final = "mlflow.trace.spansLocation"
_ARCHIVE_TAG: Final = "mlflow.trace.archiveLocation"
_IN_DATABASE: Final = "TRACKING_STORE"
_IN_ARCHIVE: Final = "ARCHIVE_REPO"
_JSON: Final = "traces.json"
_PROTOBUF: Final = "traces.pb"
_UNFINISHED: Final = "IN_PROGRESS"


class TraceFiles:
    """Reads payloads and lists artifacts of the traces of one workspace; used by several threads.

    ``alone`` is said of a trace that is read by itself: its own folder is listed, not that of all traces.
    """

    def __init__(self, scope: Scope, *, alone: bool = False) -> None:
        self._scope, self._alone = scope, alone
        self._folders: dict[str, set[str] | None] = {}
        self._lock = Lock()

    def spans(self, trace: TraceRecord, listing: Listing) -> list[Row]:
        """Return the rows of the spans that the server keeps in its database.

        What cannot be read becomes a gap in ``listing``; attachments they refer to that it lacks are added to it.
        """
        if trace.tags.get(_HOME_TAG) != _IN_DATABASE:
            self._add(trace, listing, attachments_in_files(listing.files, trace.trace_id))
            return []
        try:
            payload = self._payload(trace.trace_id).decode("utf-8")
            unread: list[str] = []
            spans = span_texts(payload, unread)
            rows = [span_row(text, span, trace.trace_id, trace.experiment_id) for text, span in spans]
        except ServerError as exc:
            check_answered(exc)
            listing.gaps.append(_owner(trace).gap("spans", gap_codes.OBJECT_UNREADABLE, str(exc)))
            return []
        except UNREADABLE_ROW as exc:
            reason = f"the server gives them in an unexpected shape: {exc!r}"
            listing.gaps.append(_owner(trace).gap("spans", gap_codes.OBJECT_UNREADABLE, reason))
            return []
        self._scope.unknown.add(TRACE, trace.trace_id, unread)
        if self._scope.selection.artifacts:
            attachments = (path for row in rows for path in attachments_in(row["content"].encode(), trace.trace_id))
            self._add(trace, listing, attachments)
        return rows

    def listing(self, trace: TraceRecord) -> Listing:
        """Return the artifacts of a trace as far as they can be known without its spans."""
        if not self._scope.selection.artifacts:
            return Listing()
        owner = _owner(trace)
        listing = self._own(trace, owner)
        if trace.tags.get(_HOME_TAG) == _IN_ARCHIVE:
            archived = self._archived(trace, owner)
            listing.files += archived.files
            listing.gaps += archived.gaps
        elif trace.tags.get(_HOME_TAG) != _IN_DATABASE and trace.info["state"] != _UNFINISHED:
            accounted_for = listing.gaps or any(file.path == _JSON for file in listing.files)
            reason = f"its spans are not in the database, and it is not at {owner.uri}"
            listing.gaps += [] if accounted_for else [owner.gap(_JSON, gap_codes.ARTIFACT_MISSING, reason)]
        return listing

    def _own(self, trace: TraceRecord, owner: Owner) -> Listing:
        place, slash, name = (owner.uri or "").removesuffix("/artifacts").rpartition("/")
        if not slash:
            return Listing()
        known = self._folders_in(place) if name == trace.trace_id and not self._alone else None
        if known is not None and name not in known:
            return Listing()
        listing = self._scope.artifacts.of(owner)
        if listing.files or not any(gap.code == gap_codes.ARTIFACT_LISTING for gap in listing.gaps):
            return listing
        through_server = self._through_server(trace, owner)
        if (owner.uri or "").startswith(f"{PROXY}:"):  # a server refuses its own list: nobody knows what it would show
            through_server.gaps[:0] = listing.gaps
        return through_server

    def _through_server(self, trace: TraceRecord, owner: Owner) -> Listing:
        """Return the artifacts of a trace whose place only the server reaches: it lists nothing, but gives files."""
        listing = Listing()
        if trace.tags.get(_HOME_TAG) or trace.info["state"] == _UNFINISHED:
            return listing
        try:
            payload = self._payload(trace.trace_id)
        except ServerError as exc:
            check_answered(exc)
            listing.gaps.append(owner.gap(_JSON, gap_codes.ARTIFACT_UNREADABLE, str(exc)))
            return listing
        listing.files.append(self._scope.artifacts.file(owner, _JSON, len(payload)))
        self._add(trace, listing, attachments_in(payload, trace.trace_id))
        return listing

    def _archived(self, trace: TraceRecord, owner: Owner) -> Listing:
        """Return ``traces.pb``, or what the server makes of it where only the server reaches it."""
        archive = Owner(kind=TRACE, id=trace.trace_id, uri=trace.tags.get(_ARCHIVE_TAG))
        listing = self._scope.artifacts.of(archive)
        payloads = [file for file in listing.files if file.path == _PROTOBUF]
        if payloads:
            return Listing(files=payloads)
        if listing.gaps:
            try:
                payload = self._payload(trace.trace_id)
            except ServerError as exc:
                check_answered(exc)
                return Listing(gaps=[owner.gap(_PROTOBUF, gap_codes.ARTIFACT_UNREADABLE, str(exc))])
            only_server = Owner(kind=TRACE, id=owner.id, uri=None, get_file=owner.get_file)
            return Listing(files=[self._scope.artifacts.file(only_server, _JSON, len(payload))])
        reason = f"the trace says that its spans are archived at {archive.uri}, but nothing is there"
        return Listing(gaps=[owner.gap(_PROTOBUF, gap_codes.ARTIFACT_MISSING, reason)])

    def _add(self, trace: TraceRecord, listing: Listing, attachments: Iterable[str]) -> None:
        """Add attachments that are not listed: the server gives them, or opening them becomes a gap."""
        known = {file.path for file in listing.files}
        for path in dict.fromkeys(attachments):
            if path not in known:
                listing.files.append(self._scope.artifacts.file(_owner(trace), path))

    def _payload(self, trace_id: str) -> bytes:
        return self._scope.session.json_bytes(_PAYLOAD, {"request_id": trace_id})

    def _folders_in(self, place: str) -> set[str] | None:
        with self._lock:
            if place not in self._folders:
                self._folders[place] = self._scope.artifacts.folders(place)
            return self._folders[place]


def _owner(trace: TraceRecord) -> Owner:
    def get_file(path: str) -> tuple[str, Any]:
        attachment = {"path": path.removeprefix(FOLDER)} if path.startswith(FOLDER) else {}
        return _PAYLOAD, {"request_id": trace.trace_id, **attachment}

    return Owner(kind=TRACE, id=trace.trace_id, uri=trace.tags.get(_PLACE_TAG), get_file=get_file)
