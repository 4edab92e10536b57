"""Tables that hold rows of every kind of object: artifacts, gaps, fingerprints; and the blob index."""

from __future__ import annotations

from typing import Final

from mlflow_archive.kinds.model import BY_ROW, Table, integer, text

TABLES: Final = (
    Table(
        name="artifacts",
        entity=BY_ROW,
        owner=("owner_id",),
        key=("owner_id", "owner_kind", "path"),
        description="Artifact files. The bytes are the blob named by `digest`.",
        columns=(
            text("owner_id", "runs.run_uuid", "Id of the object the file belongs to."),
            text("owner_kind", "", "Kind of that object, such as `run`."),
            text(
                "path",
                "artifact path",
                "Path below the owner's artifact root, `/` between parts; `version/path` for files of versions, of a "
                "registered model only for those that lie neither in a run nor in a logged model.",
            ),
            integer("size", "FileInfo.file_size", "Size of the raw bytes."),
            text("digest", "", "SHA-256 of the raw bytes, lower-case hex; a blob of the table `blobs`."),
        ),
    ),
    Table(
        name="gaps",
        entity=BY_ROW,
        owner=("owner_id",),
        key=("owner_id", "owner_kind", "path", "code"),
        description="What the export could not read. No rows: nothing is known to be missing.",
        columns=(
            text("owner_id", "", "Id of the object that lacks something."),
            text("owner_kind", "", "Kind of that object, such as `run`."),
            text("path", "", "Artifact path, or the field that could not be read."),
            text("code", "", "Gap code (spec/problems.md)."),
            text("reason", "", "What happened, for a person."),
        ),
    ),
    Table(
        name="fingerprints",
        entity=BY_ROW,
        owner=("owner_id",),
        key=("owner_id", "owner_kind"),
        description="What an entity looked like when it was read, so that a later export can skip it unchanged.",
        columns=(
            text("owner_id", "", "Id of the object."),
            text("owner_kind", "", "Kind of that object: `run`, `logged_model` or `trace`."),
            text("fingerprint", "", 'SHA-256 in hex (spec/format.md, "Fingerprints").'),
            text(
                "contents",
                "",
                "SHA-256 in hex of what the fingerprint does not see: numbers of points, times of change of files "
                '(spec/format.md, "Fingerprints"). Since 1.1; null where the source cannot tell.',
                null=True,
            ),
        ),
    ),
    Table(
        name="blobs",
        entity=None,
        owner=("digest",),
        key=("digest", "raw_offset"),
        description="The blob index: which piece of which blob lies where. An empty blob has one extent of size 0.",
        columns=(
            text("digest", "", "SHA-256 of the whole blob's raw bytes, lower-case hex."),
            integer("raw_offset", "", "Where this extent starts in the raw blob, bytes."),
            integer("raw_size", "", "Raw size of this extent, bytes."),
            text("pack", "", "Member path of the pack."),
            integer("frame_offset", "", "Where the zstd frame starts in the pack, bytes."),
            integer("frame_size", "", "Size of the compressed frame, bytes."),
            integer("offset_in_frame", "", "Where the extent starts in the decompressed frame, bytes."),
        ),
    ),
)
