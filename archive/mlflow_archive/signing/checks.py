"""Check the signatures beside an archive: against its export, a list of signers, and its tokens.

Every file of the folder is told of, and nothing stops at the first problem.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from mlflow_archive.errors import DamagedError, KeyRefusedError, SelectionError
from mlflow_archive.format.problems import Problem
from mlflow_archive.reader.archive import Archive
from mlflow_archive.signing.folder import NAMESPACE, SignatureFiles, read_file, read_folder, signatures_folder
from mlflow_archive.signing.manifests import changed_since, manifest_bytes
from mlflow_archive.signing.openssh import OtherSignedError, SignerNotAllowedError, SignerNotValidError, check_signer
from mlflow_archive.signing.report import SignatureOptions, SignatureRecord, SignatureReport, TokenRecord
from mlflow_archive.signing.sshsig import SshSignature, parse_signature
from mlflow_archive.signing.timestamps import (
    Authorities,
    DamagedTokenError,
    OtherStampedError,
    UntrustedTokenError,
)
from mlflow_archive.storage.files import Files

_CODES: Final[dict[type[Exception], str]] = {
    OtherSignedError: "E103",
    SignerNotAllowedError: "E104",
    SignerNotValidError: "E105",
    DamagedTokenError: "E102",
    OtherStampedError: "E107",
    UntrustedTokenError: "E108",
}


def check_signatures(archive: Archive, options: SignatureOptions) -> SignatureReport:
    """Return who signed which export of an archive, when, and all that is not accepted.

    Raises SelectionError where a file of ``options`` cannot be read, MissingProgramError, MissingExtraError.
    """
    if options.signers is not None and not options.signers.is_file():
        raise SelectionError(f"{options.signers}: there is no such list of allowed signers")
    if archive.members.distant and options.signers is None:
        return SignatureReport(newest_export=archive.manifest.export_number)  # nobody asks, and none is looked for
    folder = read_folder(signatures_folder(archive.path))
    report = SignatureReport(newest_export=archive.manifest.export_number)
    authorities = None if options.tsa_ca is None else Authorities(options.tsa_ca)
    for files in folder.signatures:
        check = _Check(archive, files, options, authorities)
        report.records.append(check.run())
        report.problems += check.problems
    for path in folder.strays:
        message = "it belongs to no signature; a command that was interrupted may have left it"
        report.problems.append(Problem(code="W102", member=f"{folder.path.name}/{path.name}", message=message))
    if not report.newest_signed and options.signers is not None:
        message = f"export {report.newest_export}, the newest, has no signature that is accepted"
        code = "E101" if options.required else "W101"
        report.problems.append(Problem(code=code, member=folder.path.name, message=message))
    return report


@dataclass(slots=True)
class _Check:
    """The check of one signature with its tokens."""

    archive: Archive
    files: SignatureFiles
    options: SignatureOptions
    authorities: Authorities | None
    problems: list[Problem] = field(default_factory=list)

    def run(self) -> SignatureRecord:
        name, number = self._name(self.files.path.name), self.files.export
        unread = SignatureRecord(
            file=name, export=number, signer=self.files.signer, accepted=None if self.options.signers is None else False
        )
        try:
            data = read_file(self.files.path)
            signature = parse_signature(data)
        except (OSError, ValueError) as error:
            self._add("E102", name, f"it is damaged: {error}")
            return unread
        tokens = tuple(self._tokens(data))
        record = replace(unread, key_type=signature.key_type, fingerprint=signature.fingerprint, tokens=tokens)
        accepted = self._is_accepted(data, signature, record.time_ms)
        return replace(record, accepted=accepted)

    def _is_accepted(self, data: bytes, signature: SshSignature, time_ms: int | None) -> bool | None:
        """Hold a signature against what it should be of, and whose."""
        name = self._name(self.files.path.name)
        try:
            manifest = self._manifest(signature)
            if self.options.signers is None:
                return None
            check_signer(
                manifest,
                data,
                signers=self.options.signers,
                signer=self.files.signer,
                time_ms=time_ms,
                files=Files(),
            )
        except KeyRefusedError as error:
            self._add(_CODES[type(error)], name, str(error))
        except DamagedError as error:
            self._add("E106", name, f"export {self.files.export} is not what was signed: {error}")
        else:
            return True
        return None if self.options.signers is None else False

    def _manifest(self, signature: SshSignature) -> bytes:
        """Return the manifest that the signature must be of."""
        number, newest = self.files.export, self.archive.manifest.export_number
        if number > newest:
            raise OtherSignedError(
                f"the archive has no export {number}, it ends with {newest}: it is of another archive"
            )
        if signature.namespace != NAMESPACE:
            raise OtherSignedError(f"it was made for {signature.namespace!r}, not for {NAMESPACE!r}")
        manifest = manifest_bytes(self.archive, number)
        if number < newest and (change := changed_since(self.archive, number, manifest)):
            raise DamagedError(change, code="E012")
        return manifest

    def _tokens(self, signature: bytes) -> Iterator[TokenRecord]:
        """Check the tokens, the oldest first. Each is of the signature and all tokens before it."""
        tokens = sorted(self.files.tokens.items())
        if self.authorities is None:
            yield from (TokenRecord(file=self._name(path.name)) for _, path in tokens)
            if tokens and self.options.signers is not None:
                message = "its time-stamp was not checked: no certificates of authorities were given"
                self._add("W103", self._name(self.files.path.name), message)
            return
        stamped, newest_ms = signature, 0
        for number, path in tokens:
            record, token = self._token(self.authorities, path, number, stamped)
            stamped += token
            if record.time_ms is not None and record.time_ms < newest_ms:
                self._add("E109", record.file, "it is older than the token that it renews")
                record = TokenRecord(file=record.file)
            newest_ms = max(newest_ms, record.time_ms or 0)
            yield record

    def _token(self, authorities: Authorities, path: Path, number: int, stamped: bytes) -> tuple[TokenRecord, bytes]:
        """Check one token; return what it proves, and its bytes."""
        name, token = self._name(path.name), b""
        try:
            token = read_file(path)
            if number > 1 and number - 1 not in self.files.tokens:
                raise OtherStampedError("the token that it renews is missing")
            stamp = authorities.check(stamped, token)
        except KeyRefusedError as error:
            self._add(_CODES[type(error)], name, str(error))
        except (OSError, ValueError) as error:
            self._add("E102", name, f"it is damaged: {error}")
        else:
            return TokenRecord(file=name, time_ms=stamp.time_ms, authority=stamp.authority), token
        return TokenRecord(file=name), token

    def _name(self, name: str) -> str:
        return f"{self.files.path.parent.name}/{name}"

    def _add(self, code: str, member: str, message: str) -> None:
        self.problems.append(Problem(code=code, member=member, message=message))
