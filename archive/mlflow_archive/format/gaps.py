"""Gap codes: what an export could not carry (spec/problems.md, "Gaps")."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

ARTIFACT_MISSING: Final = "G101"
ARTIFACT_UNREADABLE: Final = "G102"
ARTIFACT_SIZE: Final = "G103"
ARTIFACT_NAME: Final = "G104"
ARTIFACT_LISTING: Final = "G105"
RUN_UNREADABLE: Final = "G201"
METRIC_UNREADABLE: Final = "G202"
FIELD_UNREADABLE: Final = "G203"
VALUE_CUT: Final = "G204"
EXPERIMENT_UNREADABLE: Final = "G301"
ORPHAN_ROWS: Final = "G401"
UNKNOWN_ROWS: Final = "G402"
OBJECT_UNREADABLE: Final = "G403"
UNKNOWN_FIELD: Final = "G404"
FOLDER_UNKNOWN: Final = "G405"
NOT_THERE: Final = "G501"

SOURCE: Final = "source"
"""Owner kind of gaps that concern the source as a whole: a table or kind is named as owner, a field as path."""

ARTIFACT_GAPS: Final = frozenset(
    {ARTIFACT_MISSING, ARTIFACT_UNREADABLE, ARTIFACT_SIZE, ARTIFACT_NAME, ARTIFACT_LISTING}
)
"""Those of artifacts."""

GAPS: Final = MappingProxyType(
    {
        ARTIFACT_MISSING: "An artifact is declared but is not there.",
        ARTIFACT_UNREADABLE: "An artifact is there but its bytes could not be read.",
        ARTIFACT_SIZE: "An artifact came with another size than announced, or changed while it was read.",
        ARTIFACT_NAME: "An artifact has a name that cannot be kept, such as one that is not UTF-8.",
        ARTIFACT_LISTING: "The artifacts of an object, or of one folder of it, could not be listed.",
        RUN_UNREADABLE: "A run could not be read at all.",
        METRIC_UNREADABLE: "Points of a metric could not be read, or are malformed.",
        FIELD_UNREADABLE: "A param, tag, dataset input or field could not be read, or is malformed.",
        VALUE_CUT: "A value is longer than the server's API gives, or may be; what came of it is carried.",
        EXPERIMENT_UNREADABLE: "An experiment could not be read at all.",
        ORPHAN_ROWS: "A database has rows of an object that is gone.",
        UNKNOWN_ROWS: "A database has rows of a kind that this version does not know.",
        OBJECT_UNREADABLE: "An object of another kind, or its kind as a whole, could not be read.",
        UNKNOWN_FIELD: "Objects of the source have values in a field that this version does not know.",
        FOLDER_UNKNOWN: "A folder of a file store holds files, and no meta.yaml says what it is.",
        NOT_THERE: "A run, experiment or registered model was asked for by name or id and is not there.",
    }
)
