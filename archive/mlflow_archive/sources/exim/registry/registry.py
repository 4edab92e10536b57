"""One registered model or prompt of an export, of all documents that describe it or a version of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow_archive.format.gaps import OBJECT_UNREADABLE
from mlflow_archive.format.location import without_password
from mlflow_archive.kinds import REGISTERED_MODEL
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.exim.copies import digest_of
from mlflow_archive.sources.exim.documents import Document, read_document
from mlflow_archive.sources.exim.entity import Entity
from mlflow_archive.sources.exim.entries import ModelEntry, failed_versions, number_of, versions_in
from mlflow_archive.sources.exim.fields import Fields
from mlflow_archive.sources.exim.index import Index
from mlflow_archive.sources.exim.layout import MODEL_FILE, PROMPT_FILE
from mlflow_archive.sources.exim.registry.permissions import tell_permissions
from mlflow_archive.sources.exim.registry.prompts import add_prompt
from mlflow_archive.sources.exim.registry.version_files import add_version_files

_DERIVED = ("workspace", "permission_level", "id", "latest_versions", "versions", "user_id")


class _Model:
    """A registered model under way: its documents newest first, the first that states something counts."""

    def __init__(self, index: Index, entries: Sequence[ModelEntry]) -> None:
        first = entries[0]
        self.index = index
        self.identity = {"name": first.name, "workspace": first.workspace}
        gaps = index.gaps.copy_of(REGISTERED_MODEL, first.owner_id)
        self.entity = Entity(kind=REGISTERED_MODEL, owner_id=first.owner_id, gaps=gaps)
        self.aliases: dict[str, int] = {}
        self.versions: dict[int, tuple[bytes, Document]] = {}
        self.failed: dict[str, str] = {}
        self.described: tuple[bytes, Document] | None = None

    def add_model(self, document: Document) -> None:
        body = Fields(document.body, self.entity.gaps.under(""))
        found = body.object("registered_model", place="")
        digest = digest_of({k: v for k, v in document.body["registered_model"].items() if k not in _DERIVED})
        if self.described is not None:
            if self.described[0] != digest:
                self._tell_other("", document, self.described[1])
            return
        self.described = digest, document
        self.entity.add(
            "registered_models",
            **self.identity,
            creation_time=found.time("creation_timestamp"),
            last_updated_time=found.time("last_updated_timestamp"),
            description=found.text("description"),
        )
        for key, value in found.pairs("tags").items():
            self.entity.add("registered_model_tags", **self.identity, key=key, value=value)
        for each in found.objects("aliases"):
            alias, version = each.text("alias"), each.integer("version")
            if alias is None or version is None:
                each.bad("", "it is no alias of a version")
            else:
                self._add_alias(alias, version)
        tell_permissions(found)
        found.rest("name", *_DERIVED)
        body.rest()

    def add_prompt(self, document: Document) -> None:
        raw = document.body["prompt"]
        number = self._number(raw, document)
        if number is not None:
            place = Fields(raw, self.entity.gaps.under(""), f"versions/{number}")
            add_prompt(self.entity, self.identity, number, place)
        Fields(document.body, self.entity.gaps.under("")).rest("prompt")

    def add_version(self, raw: Mapping[str, Any], document: Document) -> None:
        number = self._number(raw, document)
        if number is None:
            return
        found = Fields(raw, self.entity.gaps.under(""), f"versions/{number}")
        source = found.text("_source", "source")
        self.entity.add(
            "model_versions",
            **self.identity,
            version=number,
            creation_time=found.time("creation_timestamp"),
            last_updated_time=found.time("last_updated_timestamp"),
            description=found.text("description"),
            user_id=found.text("user_id"),
            current_stage=found.text("current_stage"),
            source=None if source is None else without_password(source),
            storage_location=_storage(found),
            run_id=found.text("run_id"),
            run_link=found.text("run_link"),
            status=found.text("status"),
            status_message=found.text("status_message"),
        )
        for key, value in found.pairs("tags").items():
            self.entity.add("model_version_tags", **self.identity, version=number, key=key, value=value)
        for alias in found.value("aliases") or ():
            self._add_alias(str(alias), number)
        found.rest("name", "version", "source", "workspace", "model_id", "params", "metrics")

    def add_failures(self, document: Document) -> None:
        for failed in failed_versions(document):
            if not isinstance(failed.get("version"), Mapping):
                said = failed.get("message") or "it could not be exported"
                self.failed[str(failed.get("version"))] = f"{said} (run {failed.get('run_id')})"

    def finish(self) -> Entity:
        """Return the entity; one of which only versions were exported gets a row, too."""
        for number, said in self.failed.items():
            if number_of(number) not in self.versions:
                self._tell(f"versions/{number}", f"mlflow-export-import did not export it: {said}")
        if "registered_models" not in self.entity.rows:
            self.entity.add("registered_models", **self.identity)
        for alias, version in self.aliases.items():
            self.entity.add("registered_model_aliases", **self.identity, alias=alias, version=version)
        return self.entity

    def _number(self, raw: Mapping[str, Any], document: Document) -> int | None:
        """Return the number of a version that is not there yet; what stands against it is told."""
        number, digest = number_of(str(raw.get("version"))), digest_of(raw)
        if number is None:
            self._tell(f"versions/{raw.get('version')}", f"{document.place} describes a version without a number")
        elif number not in self.versions:
            self.versions[number] = digest, document
            return number
        elif self.versions[number][0] != digest:
            self._tell_other(f"versions/{number}", document, self.versions[number][1])
        return None

    def _add_alias(self, alias: str, version: int) -> None:
        held = self.aliases.setdefault(alias, version)
        if held != version:
            reason = f"it stands for version {held} and, elsewhere in the export, for version {version}"
            self._tell(f"aliases/{alias}", reason)

    def _tell_other(self, path: str, document: Document, kept: Document) -> None:
        reason = f"{document.place} describes it differently; what {kept.place} says is kept"
        self._tell(path, reason)

    def _tell(self, path: str, reason: str) -> None:
        self.entity.gaps.add(path, OBJECT_UNREADABLE, reason)


def read_model(entries: Sequence[ModelEntry], index: Index, selection: Selection) -> Entity:
    """Read a registered model or prompt. Raises DocumentUnreadableError if it has changed since it was found."""
    model = _Model(index, entries)
    root: Path = index.root
    for entry in entries:
        document = read_document(entry.path, root)
        if entry.path.name == PROMPT_FILE:
            model.add_prompt(document)
            continue
        if entry.path.name == MODEL_FILE:
            model.add_model(document)
            model.add_failures(document)
        for raw in versions_in(document):
            model.add_version(raw, document)
    entity = model.finish()
    if selection.artifacts:
        add_version_files(entity, entries, index, selection)
    return entity


def _storage(found: Fields) -> str | None:
    """Return where the files of a version are kept; later releases of the tool only state the version itself."""
    uri = found.text("_download_uri")
    return None if uri is None or uri.startswith("models:") else without_password(uri)
