"""Problem codes: E for what MUST be, W for what SHOULD be.

Those of spec/format.md are below 100, those of spec/signatures.md from 101 on. Codes are never reused.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

Severity = Literal["error", "warning"]

PROBLEMS: Final = MappingProxyType(
    {
        "E001": "There is no committed archive at this place.",
        "E002": "The manifest is not the canonical JSON that the format demands.",
        "E003": "The major version of the format is another than the reader's.",
        "E004": "The archive needs a feature that the reader does not have.",
        "E005": "manifest.json and the copy of the newest export's manifest differ, or checksums.sha256 lists another "
        "copy.",
        "E006": "No copy of the manifest can be trusted.",
        "E007": "A delta states other members or exports of its base than the base has.",
        "E008": "The index of an archive is damaged.",
        "E010": "A member that the manifest lists is missing.",
        "E011": "A member has another size than the manifest states, or ends too early.",
        "E012": "A member has another SHA-256 than the manifest states.",
        "E013": "A single file holds a member that the manifest does not list.",
        "E014": "checksums.sha256 does not list the members with the SHA-256 of the manifest.",
        "E015": "A member name breaks the rules for names.",
        "E016": "A single file has two members of one name.",
        "E020": "A single file is cut off, or its directory is not as the format demands.",
        "E021": "A member's local header differs from the directory of the single file.",
        "E022": "Members overlap, or bytes of the single file belong to no member.",
        "E023": "A member of the single file is compressed, encrypted or has a data descriptor.",
        "E024": "A member has another CRC-32 than the directory of the single file states.",
        "E030": "A table part is no Parquet file, or its footer is damaged.",
        "E031": "A table part lacks a column, has one twice, or one of another type.",
        "E032": "A table part has another number of rows than the manifest states, or too many in a row group.",
        "E033": "Rows of a table part are not sorted by their first key column.",
        "E034": "A row group of a table part is damaged, or comes to more than its size allows.",
        "E035": "A table part holds one key twice.",
        "E036": "A column holds a null where none may be.",
        "E037": "The keys of a table part lie outside of the range that the manifest states.",
        "E040": "A frame of a pack does not decode.",
        "E041": "A pack has bytes that are no labelled frame, or a label disagrees with the blob index.",
        "E042": "A blob has another SHA-256 than its name.",
        "E043": "The extents of a blob leave a gap or overlap.",
        "E044": "An extent of the blob index points outside of its pack or frame.",
        "E045": "A frame lacks content size or checksum, or is over the limits.",
        "E050": "An artifact's blob is not in the archive.",
        "E051": "A row belongs to a run or experiment that the archive does not hold.",
        "E052": "An artifact has another size than its blob.",
        "W001": "Files of an export that was not finished are left; running it again continues or removes them.",
        "W002": "A file in the directory belongs to nothing.",
        "W003": "A blob is referred to by no artifact.",
        "W004": "The archive states an optional feature that the reader does not know.",
        "W006": "A table part was written without page checksums.",
        "W007": "Rows of a table part are sorted by the first key column, but not by the whole key.",
    }
)

SIGNATURE_PROBLEMS: Final = MappingProxyType(
    {
        "E101": "The newest export has no signature that is accepted, and one is required.",
        "E102": "A signature or token is damaged: it is not in the one form that is accepted.",
        "E103": "A signature is not one of the manifest of its export: it is of another archive, or damaged.",
        "E104": "The list of allowed signers does not allow this key under this name.",
        "E105": "The signer's key was not valid at the time of the signature.",
        "E106": "The archive does not hold any more, as it was, what was signed.",
        "E107": "A token is of something else than its signature and the tokens before it.",
        "E108": "A token is not signed by an authority that is trusted, or was not at the token's time.",
        "E109": "A token is older than the one that it renews.",
        "W101": "The newest export has no signature that is accepted.",
        "W102": "A file beside the signatures belongs to none of them.",
        "W103": "Tokens of a signature were not checked, as no certificates of authorities were given.",
    }
)
"""Of signatures beside an archive, which is sound or damaged whatever these say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One finding: a code, the member or file it was found in (empty: the archive), and a sentence."""

    code: str
    member: str
    message: str

    @property
    def severity(self) -> Severity:
        """``error`` for codes that begin with E; warnings do not make an archive damaged."""
        return "error" if self.code.startswith("E") else "warning"

    def to_json(self) -> dict[str, Any]:
        return {"code": self.code, "severity": self.severity, "member": self.member, "message": self.message}
