"""One registered model or prompt of an export, of all documents that describe it or a version of it.

MLflow keeps prompts as registered models with marks among their tags, and an archive does too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mlflow_archive.format.gaps import OBJECT_UNREADABLE
from mlflow_archive.format.location import without_password
from mlflow_archive.kinds import REGISTERED_MODEL
from mlflow_archive.selecting.chosen_versions import ChosenVersions
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.selecting.selector import Selector
from mlflow_archive.sources.exim.copies import digest_of
from mlflow_archive.sources.exim.documents import Document, read_document
from mlflow_archive.sources.exim.entries import IS_PROMPT, ModelEntry, failed_versions, number_of, versions_in
from mlflow_archive.sources.exim.index import Index
from mlflow_archive.sources.exim.layout import MODEL_FILE, PROMPT_FILE
from mlflow_archive.sources.exim.parts import report_permissions
from mlflow_archive.sources.exim.registry.version_files import add_version_files
from mlflow_archive.sources.exim.tool_fields import ToolFields
from mlflow_archive.sources.reading.fields import Names, ValueMalformedError, json_of, row_of
from mlflow_archive.sources.reading.records import Entity

# mlflow.prompt.constants
_TEXT: Final = "mlflow.prompt.text"
_TYPE: Final = "_mlflow_prompt_type"
_RESPONSE_FORMAT: Final = "_mlflow_prompt_response_format"
_MODEL_CONFIG: Final = "_mlflow_prompt_model_config"
_PROMPT_SOURCE: Final = "prompt-template"
"""What MLflow itself writes as the source of a version, which a prompt has no use for."""

_DERIVED: Final = ("workspace", "permission_level", "id", "latest_versions", "versions", "user_id")
_TIMES: Final = {"creation_time": "creation_timestamp", "last_updated_time": "last_updated_timestamp"}


class _Model:
    """A registered model that is put together: its documents newest first, the first that states something counts."""

    def __init__(self, index: Index, entries: Sequence[ModelEntry], chosen: ChosenVersions) -> None:
        first = entries[0]
        self.index, self._chosen, self._owner_id = index, chosen, first.owner_id
        self.identity = {"name": first.name, "workspace": first.workspace}
        gaps = index.gaps.copy_of(REGISTERED_MODEL, first.owner_id)
        self.entity = Entity(gaps=gaps)
        self.aliases: dict[str, int] = {}
        self.versions: dict[int, tuple[bytes, Document]] = {}
        self.failed: dict[str, str] = {}
        self.described: tuple[bytes, Document] | None = None

    def add_model(self, document: Document) -> None:
        body = ToolFields(document.body, self.entity.gaps.under(""))
        model = body.object("registered_model", place="")
        digest = digest_of({k: v for k, v in document.body["registered_model"].items() if k not in _DERIVED})
        if self.described is not None:
            if self.described[0] != digest:
                self._report_difference("", document, self.described[1])
            return
        self.described = digest, document
        self.entity.add("registered_models", **row_of("registered_models", model, _TIMES, **self.identity))
        self.entity.add_pairs("registered_model_tags", model.pairs("tags"), **self.identity)
        for entry in model.objects("aliases"):
            alias, version = entry.text("alias"), entry.integer("version")
            if alias is None or version is None:
                entry.leave_out("", "it is no alias of a version")
            else:
                self._add_alias(alias, version)
        report_permissions(model)
        model.known(*_DERIVED)
        self.entity.gaps.unread += body.unread()

    def add_prompt(self, document: Document) -> None:
        raw = document.body["prompt"]
        number = self._number(raw, document)
        if number is not None:
            _add_prompt(self.entity, self.identity, number, self._version(raw, number))
        self.add_unread(document, "prompt")

    def add_unread(self, document: Document, part: str) -> None:
        """Count what a document holds beside the part that is read of it."""
        body = ToolFields(document.body, self.entity.gaps.under(""))
        body.known(part)
        self.entity.gaps.unread += body.unread()

    def add_version(self, raw: Mapping[str, Any], document: Document) -> None:
        number = self._number(raw, document)
        if number is None:
            return
        version = self._version(raw, number)
        names: Names = {**_TIMES, "source": ("_source", "source")}
        own = {**self.identity, "version": number, "storage_location": _storage(version)}
        self.entity.add("model_versions", **row_of("model_versions", version, names, **own))
        self.entity.add_pairs("model_version_tags", version.pairs("tags"), **self.identity, version=number)
        for alias in version.value("aliases") or ():
            self._add_alias(str(alias), number)
        version.known("model_id", "params", "metrics")  # of the logged model that the source names
        self.entity.gaps.unread += version.unread()

    def _version(self, raw: Mapping[str, Any], number: int) -> ToolFields:
        return ToolFields(raw, self.entity.gaps.under(""), f"versions/{number}", path="versions")

    def add_failures(self, document: Document) -> None:
        for failed in failed_versions(document):
            if not isinstance(failed.get("version"), Mapping):
                reason = failed.get("message") or "it could not be exported"
                self.failed[str(failed.get("version"))] = f"{reason} (run {failed.get('run_id')})"

    def finish(self) -> Entity:
        """Return the entity; one of which only versions were exported gets a row, too."""
        for number, reason in self.failed.items():
            if number_of(number) not in self.versions and self._chosen.takes(self._owner_id, number_of(number)):
                self._report(f"versions/{number}", f"mlflow-export-import did not export it: {reason}")
        if "registered_models" not in self.entity.rows:
            self.entity.add("registered_models", **self.identity)
        for alias, version in self.aliases.items():
            self.entity.add("registered_model_aliases", **self.identity, alias=alias, version=version)
        return self.entity

    def _number(self, raw: Mapping[str, Any], document: Document) -> int | None:
        """Return the number of a new version that comes, else None; what contradicts an earlier one is reported."""
        number, digest = number_of(str(raw.get("version"))), digest_of(raw)
        if number is None:
            self._report(f"versions/{raw.get('version')}", f"{document.place} describes a version without a number")
        elif not self._chosen.takes(self._owner_id, number):
            return None
        elif number not in self.versions:
            self.versions[number] = digest, document
            return number
        elif self.versions[number][0] != digest:
            self._report_difference(f"versions/{number}", document, self.versions[number][1])
        return None

    def _add_alias(self, alias: str, version: int) -> None:
        earlier = self.aliases.setdefault(alias, version)
        if earlier != version:
            reason = f"it stands for version {earlier} and, elsewhere in the export, for version {version}"
            self._report(f"aliases/{alias}", reason)

    def _report_difference(self, path: str, document: Document, first: Document) -> None:
        reason = f"{document.place} describes it differently; what {first.place} says is kept"
        self._report(path, reason)

    def _report(self, path: str, reason: str) -> None:
        self.entity.gaps.add(path, OBJECT_UNREADABLE, reason)


def read_model(entries: Sequence[ModelEntry], index: Index, selection: Selection, selector: Selector) -> Entity:
    """Read a registered model or prompt with those of its versions that come.

    Raises DocumentUnreadableError if it has changed since the index was built.
    """
    model = _Model(index, entries, selector.versions)
    for entry in entries:
        document = read_document(entry.path, index.root)
        if entry.path.name == PROMPT_FILE:
            model.add_prompt(document)
            continue
        if entry.path.name == MODEL_FILE:
            model.add_model(document)
            model.add_failures(document)
        else:
            model.add_unread(document, "model_version")
        for raw in versions_in(document):
            model.add_version(raw, document)
    entity = model.finish()
    if selection.artifacts:
        add_version_files(entity, entries, index, selection, selector.among)
    return entity


def _storage(version: ToolFields) -> str | None:
    """Return where the files of a version are kept; later releases of the tool only state the version itself."""
    uri = version.text("_download_uri")
    return None if uri is None or uri.startswith("models:") else without_password(uri)


def _add_prompt(entity: Entity, identity: Mapping[str, str], number: int, prompt: ToolFields) -> None:
    """Add a version of a prompt, the prompt itself with the first of them."""
    message, description = prompt.text("commit_message"), prompt.text("description")
    if "registered_models" not in entity.rows:
        entity.add("registered_models", **identity, description=description if description != message else None)
        entity.add("registered_model_tags", **identity, key=IS_PROMPT, value="true")
    fixed = {"current_stage": "None", "source": _PROMPT_SOURCE, "status": "READY"}
    text = description if message is None else message
    row = row_of("model_versions", prompt, _TIMES, **identity, version=number, description=text, **fixed)
    entity.add("model_versions", **row)
    entity.add_pairs("model_version_tags", {**prompt.pairs("tags"), **_prompt_tags(prompt)}, **identity, version=number)
    prompt.known("variables", "uri")  # follow from the text, and from name and number
    entity.gaps.unread += prompt.unread()


def _prompt_tags(prompt: ToolFields) -> dict[str, str]:
    """Return the tags in which MLflow keeps what a version of a prompt consists of."""
    tags = {IS_PROMPT: "true"}
    template = prompt.value("template")
    for name, key in (("response_format", _RESPONSE_FORMAT), ("model_config", _MODEL_CONFIG), ("template", _TEXT)):
        value = prompt.value(name)
        if value is None:
            continue
        try:
            tags[key] = value if isinstance(value, str) else json_of(value)
        except ValueMalformedError as error:
            prompt.bad(name, str(error))
    if _TEXT in tags:
        tags[_TYPE] = "text" if isinstance(template, str) else "chat"
    else:
        prompt.bad("template", "there is none")
    return tags
