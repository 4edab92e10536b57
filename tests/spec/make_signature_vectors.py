"""Make ``spec/signature-vectors/``. Run by hand, all anew: ``python -m tests.spec.make_signature_vectors``.

Keys are made for it and thrown away, so what comes out is never the same twice; tests read what is committed.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from mlflow_archive.format.manifest import canonical_json
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.signing.manifests import manifest_bytes
from mlflow_archive.signing.timestamps import request_stamp
from tests.spec.drafts import (
    Files,
    Row,
    base_rows,
    checksums,
    encode_part,
    in_order,
    make_table,
    member_entry,
    part,
    zipped,
)
from tests.spec.sound import VALID
from tests.support.authority import Authority, aged, make_authority
from tests.support.signers import Signer, allowed, new_signer, sign_by_hand

ROOT: Final = Path(__file__).resolve().parents[2] / "spec"
VECTORS: Final = ROOT / "signature-vectors"
ARCHIVE: Final = "vectors/valid/two_exports.mlfa"
PARAMS: Final = part("params")
_THEN: Final = datetime(2015, 6, 1, 12, tzinfo=UTC)


@dataclass(slots=True, kw_only=True)
class Ground:
    """What the cases are made of: two manifests, two people, ada allowed, and two authorities, one of them trusted."""

    manifests: dict[int, bytes]
    ada: Signer
    bob: Signer
    authority: Authority
    stranger: Authority
    files: dict[str, bytes] = field(default_factory=dict)

    def sign(self, export: int, signer: Signer, *, name: str | None = None, data: bytes | None = None) -> bytes:
        """Put a signature among the files of a case."""
        signature = sign_by_hand(signer, self.manifests[export] if data is None else data)
        self.files[f"{export:04d}-{name or signer.name}.sig"] = signature
        return signature

    def stamp(self, name: str, data: bytes, time: datetime, *, by: Authority | None = None) -> bytes:
        """Put a token of a time among the files of a case."""
        authority = by or self.authority
        token = request_stamp(data, lambda request: aged(authority, authority.reply(request), time))
        self.files[name] = token
        return token


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is put beside the archive, and with what it must be found; ``forge`` makes another archive of it."""

    what: str
    make: Callable[[Ground], Any]
    codes: tuple[str, ...]
    required: bool = False
    authorities: bool = False
    forge: Callable[[Files, Row], Any] | None = None

    def archive(self, name: str) -> str:
        """Return where the archive of the case of this name is, below ``spec/``."""
        return f"{VECTORS.name}/{name}.mlfa" if self.forge else ARCHIVE


def _stamped(ground: Ground) -> bytes:
    return ground.stamp("0002-ada.tsr", ground.sign(2, ground.ada), _THEN)


def _renewed(ground: Ground, days: int) -> None:
    token = _stamped(ground)
    ground.stamp("0002-ada-2.tsr", ground.files["0002-ada.sig"] + token, _THEN + timedelta(days=days))


def _spoilt(ground: Ground, change: Callable[[bytes], bytes]) -> None:
    ground.files["0002-ada.sig"] = change(ground.sign(2, ground.ada))


def _take_away(files: Files, document: Row) -> None:
    del files[PARAMS]
    document["members"] = [member for member in document["members"] if member["path"] != PARAMS]
    del document["exports"][0]["counts"]["params"]


def _replace(files: Files, document: Row) -> None:
    table = make_table("params", [{**row, "value": "0.9"} for row in base_rows()["params"]])
    files[PARAMS] = encode_part(table)
    entry = member_entry(PARAMS, files[PARAMS], {PARAMS: table})
    document["members"] = [entry if member["path"] == PARAMS else member for member in document["members"]]


def forged(forge: Callable[[Files, Row], Any]) -> bytes:
    """Return the archive with a newest manifest that states another thing of export 1, every hash right."""
    files = VALID["two_exports"][1]()
    assert isinstance(files, dict)
    document = json.loads(files["manifest.json"])
    forge(files, document)
    copy, data = "manifests/0002.json", canonical_json(document)
    files |= {copy: data, "checksums.sha256": checksums(document, copy, data), "manifest.json": data}
    return zipped(in_order(files))


CASES: Final = {
    "signed": Case(what="the newest export, by ada", make=lambda g: g.sign(2, g.ada), codes=(), required=True),
    "stamped": Case(
        what="with a token of 2015, renewed in 2017, of an authority whose certificates ended in 2019",
        make=lambda g: _renewed(g, 700),
        codes=(),
        required=True,
        authorities=True,
    ),
    "E101_required": Case(what="export 1 only", make=lambda g: g.sign(1, g.ada), codes=("E101",), required=True),
    "E102_line_end": Case(
        what="lines end in CR LF, which ssh-keygen refuses, too",
        make=lambda g: _spoilt(g, lambda data: data.replace(b"\n", b"\r\n")),
        codes=("E102", "W101"),
    ),
    "E102_text_behind": Case(
        what="text behind the signature, which ssh-keygen ignores",
        make=lambda g: _spoilt(g, lambda data: data + b"text\n"),
        codes=("E102", "W101"),
    ),
    "E102_status": Case(
        what="a token whose status says granted with changes",
        make=lambda g: g.files.update(
            {"0002-ada.tsr": _stamped(g).replace(b"\x30\x03\x02\x01\0", b"\x30\x03\x02\x01\1", 1)}
        ),
        codes=("E102",),
        authorities=True,
    ),
    "E103_other_archive": Case(
        what="a signature of other bytes", make=lambda g: g.sign(2, g.ada, data=b"{}"), codes=("E103", "W101")
    ),
    "E103_no_such_export": Case(
        what="an export that the archive does not have",
        make=lambda g: (g.sign(2, g.ada), g.files.update({"0003-ada.sig": g.files["0002-ada.sig"]})),
        codes=("E103",),
    ),
    "E104_not_listed": Case(
        what="bob, who is not on the list", make=lambda g: (g.sign(2, g.ada), g.sign(2, g.bob)), codes=("E104",)
    ),
    "E104_other_name": Case(
        what="ada's key under the name of carol", make=lambda g: g.sign(2, g.ada, name="carol"), codes=("E104", "W101")
    ),
    "E105_expired": Case(
        what="dora, whose key was valid in 2015, without a token",
        make=lambda g: g.sign(2, g.bob, name="dora"),
        codes=("E105", "W101"),
    ),
    "E106_member_gone": Case(
        what="export 2 has taken away the params that were signed with export 1",
        make=lambda g: g.sign(1, g.ada),
        codes=("E106", "W101"),
        forge=_take_away,
    ),
    "E106_other_member": Case(
        what="export 2 has replaced the params that were signed with export 1",
        make=lambda g: g.sign(1, g.ada),
        codes=("E106", "W101"),
        forge=_replace,
    ),
    "E106_other_export": Case(
        what="export 2 states another time of export 1",
        make=lambda g: g.sign(1, g.ada),
        codes=("E106", "W101"),
        forge=lambda _, document: document["exports"][0].update(created_ms=1_700_000_000_001),
    ),
    "E107_other_signature": Case(
        what="a token of something else",
        make=lambda g: (g.sign(2, g.ada), g.stamp("0002-ada.tsr", b"something else", _THEN)),
        codes=("E107",),
        authorities=True,
    ),
    "E108_stranger": Case(
        what="a token of an authority that is not trusted",
        make=lambda g: g.stamp("0002-ada.tsr", g.sign(2, g.ada), _THEN, by=g.stranger),
        codes=("E108",),
        authorities=True,
    ),
    "E108_not_valid_then": Case(
        what="a token of 2021, when the authority's certificates had ended",
        make=lambda g: g.stamp("0002-ada.tsr", g.sign(2, g.ada), datetime(2021, 1, 1, tzinfo=UTC)),
        codes=("E108",),
        authorities=True,
    ),
    "E109_older": Case(
        what="a renewal a day before the token", make=lambda g: _renewed(g, -1), codes=("E109",), authorities=True
    ),
    "W101_older_export": Case(what="export 1 only", make=lambda g: g.sign(1, g.ada), codes=("W101",)),
    "W102_stray": Case(
        what="a file of another name",
        make=lambda g: (g.sign(2, g.ada), g.files.update({"notes.txt": b"x"})),
        codes=("W102",),
    ),
    "W103_unchecked": Case(what="a token, and no certificates given", make=_stamped, codes=("W103",)),
}


def main() -> None:
    """Write all cases, the list, the certificates and the index."""
    shutil.rmtree(VECTORS, ignore_errors=True)
    VECTORS.mkdir()
    with tempfile.TemporaryDirectory() as folder, open_archive(ROOT / ARCHIVE) as archive:
        scratch, begin = Path(folder), datetime(2010, 1, 1, tzinfo=UTC)
        ada, bob = (new_signer(scratch, name) for name in ("ada", "bob"))
        manifests = {number: manifest_bytes(archive, number) for number in (1, 2)}
        authority, stranger = (
            make_authority(scratch / name, kind="rsa", begin=begin) for name in ("authority", "stranger")
        )
        allowed(VECTORS / "allowed_signers", ada)
        with (VECTORS / "allowed_signers").open("a") as listed:
            listed.write(f'dora valid-after="20150101",valid-before="20160101" {bob.public}\n')
        (VECTORS / "authorities.pem").write_bytes(authority.ca.read_bytes())
        index = {}
        for name, case in CASES.items():
            ground = Ground(manifests=manifests, ada=ada, bob=bob, authority=authority, stranger=stranger)
            case.make(ground)
            index[name] = write_case(name, case, ground.files)
    (VECTORS / "index.json").write_text(json.dumps(dict(sorted(index.items())), indent=1) + "\n", "utf-8")
    (VECTORS / "README.md").write_text(_README, "utf-8")


def write_case(name: str, case: Case, files: Files) -> Row:
    """Write the files of a case, and its archive where that is one of its own; return what the index says of it."""
    (VECTORS / name).mkdir()
    for file, data in files.items():
        (VECTORS / name / file).write_bytes(data)
    if case.forge:
        (ROOT / case.archive(name)).write_bytes(forged(case.forge))
    return {
        "archive": case.archive(name),
        "codes": list(case.codes),
        "what": case.what,
        "require_signature": case.required,
        "authorities": case.authorities,
    }


_README: Final = f"""# Signature vectors

For whoever writes a checker of [signatures](../signatures.md). Each folder is the folder of signatures of an archive:
put it beside a copy of the archive NAME.mlfa, as `NAME.mlfa.sig`. `index.json` says of each what is in it, of which
archive it is, which codes must be found (in the order of the files, by name), whether a signature is to be required,
and whether `authorities.pem` is to be given; `allowed_signers` always is.

The archive is [`{ARCHIVE}`](../{ARCHIVE}), but for E106, whose fault lies in the archive: those here are forged, every
hash right, so that nothing but the signature tells.

`tests/spec/make_signature_vectors.py` made them. The keys are not kept.
"""


if __name__ == "__main__":
    main()
