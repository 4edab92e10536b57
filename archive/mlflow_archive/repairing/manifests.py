"""Which archive the damaged one was: its manifest, confirmed by a second witness in it or in another copy."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, product
from typing import Final

from mlflow_archive.errors import ArchiveError, DamagedError
from mlflow_archive.format.layout import CHECKSUMS, MANIFEST, export_number, manifest_name, manifest_number
from mlflow_archive.format.manifest import MAX_MANIFEST_SIZE, archive_id, decode
from mlflow_archive.reader.stored.opening import OpenedManifest
from mlflow_archive.repairing.copies import Copy
from mlflow_archive.repairing.drafts import Draft, differing, majority
from mlflow_archive.repairing.listing import member_offsets
from mlflow_archive.storage.members import BytesMember

_LINE: Final = 64
_MOST_IDS: Final = 4096
_MOST_DAMAGED: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Testimony:
    """What a copy says of its newest export: its number, texts of its manifest, and ids that its checksums state.

    ``newest_member`` is the highest number of an export in the name of any member, also of one that was not finished.
    """

    number: int
    newest_member: int
    texts: tuple[bytes, ...]
    stated_ids: tuple[str, ...]

    @property
    def ids(self) -> frozenset[str]:
        """Every archive id that something in the copy stands for."""
        return frozenset((*map(archive_id, self.texts), *self.stated_ids))

    def is_of(self, manifest: bytes) -> bool:
        """Return whether a manifest is that of this copy: it states its id, or has most of its bytes.

        Manifests of two archives differ in their hashes, a third of their bytes.
        """
        if archive_id(manifest) in self.stated_ids:
            return True
        sized = [text for text in self.texts if len(text) == len(manifest)]
        differences = (sum(high - low for low, high in differing([text, manifest], 0)) for text in sized)
        return any(number <= len(manifest) // _MOST_DAMAGED for number in differences)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The manifest of the archive. ``lost_export`` is a newer export of which no manifest is left, None for none."""

    opened: OpenedManifest
    origin: str = ""
    lost_export: int | None = None


def choose_manifest(damaged: Copy, copies: Sequence[Copy]) -> Choice:
    """Return the manifest of the newest export of the damaged archive.

    Raises DamagedError (E006) if neither the archive nor another copy of it has one that can be confirmed,
    FormatTooNewError if it is of a newer version.
    """
    testimony = testimony_of(damaged)
    opened = damaged.opened
    if opened is not None and (not opened.problems or opened.manifest.export_number >= testimony.number):
        return Choice(opened=opened)
    choice = _copy_with_id(testimony, copies) or _choice_by_witnesses(testimony, copies)
    if choice is None and damaged.too_new is not None:
        raise damaged.too_new
    choice = choice or _copy_with_member(damaged, testimony, copies)
    if choice is not None:
        return choice
    if opened is not None:
        return Choice(opened=opened, lost_export=testimony.number)
    message = f"{damaged.path}: no copy of its manifest can be trusted, and no other archive that was given has it"
    raise DamagedError(message, code="E006", member=MANIFEST)


def _copy_with_id(testimony: Testimony, copies: Sequence[Copy]) -> Choice | None:
    """Choose the copy whose id something in the damaged archive stands for."""
    for copy in copies:
        if copy.opened is not None and copy.opened.archive_id in testimony.ids:
            return Choice(opened=copy.opened, origin=str(copy.path))
    return None


def _choice_by_witnesses(testimony: Testimony, copies: Sequence[Copy]) -> Choice | None:
    """Choose the manifest that the damaged archive and copies of the same export confirm together."""
    witnesses = [testimony, *(t for t in map(testimony_of, copies) if t.number == testimony.number)]
    confirmed = _confirmed(testimony, witnesses)
    return None if confirmed is None else Choice(opened=confirmed, origin="its copies")


def _copy_with_member(damaged: Copy, testimony: Testimony, copies: Sequence[Copy]) -> Choice | None:
    """Choose the copy that has a member of the damaged archive, and is no older state of it."""
    for copy in copies:
        # An older state of the archive shares members with it, too, and is not what it was.
        is_older = copy.opened is None or copy.opened.manifest.export_number < testimony.newest_member
        if copy.opened is not None and not is_older and _shares_member(damaged, copy.opened):
            return Choice(opened=copy.opened, origin=str(copy.path))
    return None


def testimony_of(copy: Copy) -> Testimony:
    """Read what a copy says of its newest export, damaged or not."""
    lines = _checksum_lines(copy)
    names = {*copy.members.sizes(), *(name for _, name in lines)}
    number = max((number for name in names if (number := manifest_number(name)) is not None), default=1)
    newest = manifest_name(number)
    newest_member = max((number, *(export for name in names if (export := export_number(name)) is not None)))
    texts = [text for name in (MANIFEST, newest) if (text := _text(copy, name))]
    stated_ids = [sha256 for sha256, name in lines if name == newest]
    return Testimony(number=number, newest_member=newest_member, texts=tuple(texts), stated_ids=tuple(stated_ids))


def _checksum_lines(copy: Copy) -> list[tuple[str, str]]:
    lines = (_text(copy, CHECKSUMS) or b"").decode("ascii", "replace").splitlines()
    return [(line[:_LINE], line[_LINE + 2 :]) for line in lines if line[_LINE : _LINE + 2] == "  "]


def _text(copy: Copy, name: str) -> bytes | None:
    try:
        file = copy.members.open(name)
        return file.read_at(0, min(file.size, MAX_MANIFEST_SIZE))
    except DamagedError:
        return None


def _confirmed(damaged: Testimony, witnesses: Sequence[Testimony]) -> OpenedManifest | None:
    """Return the manifest that two places have, or that is put together from several and has a hash that is stated."""
    texts = [text for witness in witnesses for text in witness.texts]
    stated_ids = frozenset(_plausible_ids([sha256 for witness in witnesses for sha256 in witness.stated_ids]))
    for text in chain(_twice_witnessed(texts, stated_ids), _settled_texts(texts, stated_ids)):
        if damaged.is_of(text) and (opened := _decoded(text, damaged.number)) is not None:
            return opened
    return None


def _twice_witnessed(texts: Sequence[bytes], stated_ids: Collection[str]) -> Iterator[bytes]:
    """Yield the texts that two places have, or whose id is stated."""
    return (text for text in texts if archive_id(text) in stated_ids or texts.count(text) > 1)


def _settled_texts(texts: Sequence[bytes], stated_ids: Collection[str]) -> Iterator[bytes]:
    """Yield what is put together from texts of one size and has an id that is stated."""
    for size in dict.fromkeys(map(len, texts)):
        sized = list(dict.fromkeys(text for text in texts if len(text) == size))
        for draft in _drafts(sized):
            if draft.settle_rest(stated_ids):
                yield draft.read_at(0, size)


def _drafts(texts: Sequence[bytes]) -> Iterator[Draft]:
    """Yield texts of one size as a draft: first what most of them have, then all that differs."""
    if len(texts) > 2:
        yield Draft([majority(texts)])
    if len(texts) > 1:
        yield Draft([BytesMember(MANIFEST, text) for text in texts])


def _plausible_ids(stated_ids: Sequence[str]) -> Iterator[str]:
    """Yield the ids that several copies of one line may have stood for, where each may be damaged."""
    yield from dict.fromkeys(stated_ids)
    if len(set(stated_ids)) > 1:
        digits = [list(dict.fromkeys(at)) for at in zip(*stated_ids, strict=True)]
        for number, characters in enumerate(product(*digits)):
            if number == _MOST_IDS:
                return
            yield "".join(characters)


def _decoded(text: bytes, number: int) -> OpenedManifest | None:
    try:
        manifest = decode(text, where=MANIFEST)
    except ArchiveError:
        return None
    return OpenedManifest(manifest=manifest, data=text) if manifest.export_number == number else None


def _shares_member(damaged: Copy, opened: OpenedManifest) -> bool:
    """Return whether a damaged archive has a table or pack of another one, byte for byte."""
    members = [member for member in opened.manifest.members if member.kind in ("table", "pack")]
    offsets = member_offsets(opened)
    for member in sorted(members, key=lambda member: member.size):
        candidates = damaged.candidates(member, offsets[member.path])
        if any(candidate.sha256() == member.sha256 for candidate in candidates):
            return True
    return False
