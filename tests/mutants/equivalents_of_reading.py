"""Mutants that change nothing that anybody could see in what stores, reads, verifies, redacts and scans."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Final

from tests.mutants.equivalent import ANYWHERE, Equivalent


def _same(reason: str, within: str, *changes: tuple[str, str]) -> Iterator[Equivalent]:
    """Yield what does the same within some functions for one reason: code, and what may stand for it."""
    for code, by in changes:
        yield Equivalent(within=within, code=code, by=by, reason=reason)


_IN_SPEED: Final = "is a matter of speed."
_NOT_STRICT: Final = ((", strict=True)", ", )"), (", strict=True)", ", strict=False)"))

EQUIVALENTS: Final = tuple(
    chain(
        _same("Names of codecs have no case.", ANYWHERE, ('"latin-1"', '"LATIN-1"')),
        # storage
        _same(
            "What is neither true nor a pair sets nothing.",
            "storage.remote.connecting.*",
            ('MLFLOW_S3_IGNORE_TLS", "")', 'MLFLOW_S3_IGNORE_TLS", "XXXX")'),
            ('AZURE_STORAGE_CONNECTION_STRING", "")', 'AZURE_STORAGE_CONNECTION_STRING", "XXXX")'),
        ),
        _same(
            "No variable has the name that stands for none.",
            "storage.remote.connecting._endpoint",
            ('), "")', '), "XXXX")'),
        ),
        _same(
            f"Whether few ranges come one by one or together {_IN_SPEED}",
            "storage.remote.object_bytes.ObjectBytes.anticipate",
            *(("<= 1", "< 1"), ("<= 1", "<= 2")),
        ),
        _same(
            "A range that begins at the end of another takes nothing from it.",
            "storage.remote.object_bytes.KeptRanges.missing",
            ("first < end <=", "first <= end <="),
        ),
        _same(
            "The first byte has come with the request for the size.",
            "storage.remote.members.DistantFileMembers.__init__",
            ("max(0,", "max(1,"),
        ),
        _same(
            "Whoever looks for the other form does not say this.",
            "storage.remote.members._*",
            ('NoObjectError(f"{place} names no object")', "NoObjectError(None)"),
            ('NoObjectError(f"{place} holds no {MANIFEST}")', "NoObjectError(None)"),
        ),
        _same(
            "The position of the file is where it is written.",
            "storage.files._copy_in_kernel",
            *((", position + copied)", ", None)"), (", position + copied)", ", )")),
        ),
        _same(
            "The header is written over when the CRC is known.",
            "storage.unfinished_file.UnfinishedFile.begin",
            ("name, 0, 0, output", "name, 1, 0, output"),
        ),
        _same(
            "To say of which type a value is changes nothing.",
            "storage.remote.store.RemoteStore.put_instead",
            ('cast("UpdateVersion", ', "cast(None, "),
        ),
        _same(
            "What is empty is left out of the settings in the end.",
            "storage.remote.connecting.azure_settings",
            ('get(name)), "")', "get(name)), None)"),
        ),
        # reader
        _same("Names of codecs have no case.", "reader.stored.row_groups.*", ('Codec("zstd")', 'Codec("ZSTD")')),
        *(
            _same("Values of others are read, too, and belong to nobody.", within, ("owners)", "None)"))
            for within in ("reader.search.evaluate.values_of", "reader.search.evaluate._by_group")
        ),
        _same(
            "More columns are read than are asked for.",
            "reader.search.evaluate._values",
            *(("columns=columns, ", by) for by in ("columns=None, ", "")),
        ),
        _same(
            "Rows outside of the range are looked at, and left out after that.",
            "reader.stored.recent._between",
            *(("last - first)", by) for by in ("None)", ")")),
        ),
        _same(
            "Ids are texts, and somebody asks for one at least.",
            "reader.archive.Archive._source_owners",
            *(("ids, pa.string())", by) for by in ("ids, None)", "ids, )")),
        ),
        _same(
            f"In how many requests frames come {_IN_SPEED}",
            "reader.blobs.*",
            ("if is_dense else", "if (is_dense) and False else"),
            *(("piece, self._file(piece))", by) for by in ("piece, None)", "piece, )")),
        ),
        _same(
            "Behind a schema that is no list of columns none is found, either.",
            "reader.stored.footer._column_depth",
            (">= _SCHEMA_FIELD", "> _SCHEMA_FIELD"),
        ),
        _same(
            "One value is read as a reference or written out, and is the same.",
            "reader.stored.row_groups.RowGroups._by_reference",
            *((".values > 0", by) for by in (".values >= 0", ".values > 1")),
        ),
        _same(
            f"From which size on texts are added up one by one {_IN_SPEED}",
            "reader.stored.limits._text_bytes",
            ("most > SMALL", "most >= SMALL"),
        ),
        _same("A direction has no case.", "reader.search.grammar.parse_order", ('"ASC"', '"asc"')),
        _same(
            "A file that is too short has no footer, however long.",
            "reader.stored.footer.check_footer",
            ("else 0", "else 1"),
        ),
        # verification
        *(
            _same(
                f"How many threads check at a time {_IN_SPEED}",
                within,
                *(("ThreadPoolExecutor(jobs, ", by) for by in ("ThreadPoolExecutor(", "ThreadPoolExecutor(None, ")),
            )
            for within in (
                "verification.members._by_threads",
                "verification.packs.PackCheck.run",
                "verification.taken.*",
            )
        ),
        _same(
            f"How many threads check at a time {_IN_SPEED}",
            "verification.*",
            *(("jobs: int = 2", "jobs: int = 3"), ("jobs=jobs, ", ""), ("run(packs, 1)", "run(packs, 2)")),
        ),
        _same(
            "More columns are read than are asked for.",
            "verification.tables._holds_key_twice",
            *(("index, key)", by) for by in ("index, None)", "index, )")),
        ),
        _same(
            "A frame that begins behind the last byte is none.",
            "verification.packs._walk",
            ("position < offset < file.size", "position < offset <= file.size"),
        ),
        _same(
            f"How many pieces are on their way at a time {_IN_SPEED}",
            "verification.sharing_out.SharedChecks.run",
            ("ahead=2 *", "ahead=3 *"),
        ),
        _same(
            "Names of kinds are texts, and there are some.",
            "verification.taken._artifacts",
            ("== 1], pa.string())", "== 1], None)"),
            ("== 1], pa.string())", "== 1], )"),
        ),
        # signing
        _same(
            "Whether a digest is for security matters where the library forbids some for that.",
            "signing.tokens.is_of_signer",
            (", usedforsecurity=False)", ", )"),
            ("usedforsecurity=False", "usedforsecurity=True"),
        ),
        _same(
            "What is no SHA-256 is that of no manifest.",
            "signing.manifests.manifest_bytes",
            ('path == name), "")', 'path == name), "XXXX")'),
        ),
        _same(
            "In a private folder a file may have any name.",
            "signing.openssh.*",
            ('"signature", signature', '"SIGNATURE", signature'),
            ('"signature", signature', '"XXsignatureXX", signature'),
        ),
        _same(
            "What is cut out for the first text holds one.",
            "signing.sshsig.*",
            ("[:4])], 1)[0]", "[:4])], None)[0]"),
        ),
        # redacting
        *(
            _same("A null of no type is one of any.", "redacting.*", (f"(None, {kind})", by))
            for kind in ("encoded.indices.type", "field.type", "known.type")
            for by in ("(None, None)", "(None, )")
        ),
        _same(
            "More columns are read than are asked for.",
            "redacting.erasing.*",
            *((f"columns={columns})", by) for columns in ("[column, by]", "columns") for by in (")", "columns=None)")),
        ),
        # scanning
        *(
            _same("Columns of one table, or names and a key, have one length.", within, *_NOT_STRICT)
            for within in ("scanning.*", "redacting.*", "retiring.*", "verification.*")
        ),
        _same(
            f"In which order files are read {_IN_SPEED}",
            "scanning.archive._in_packs",
            *(('key=lambda digest: places.get(digest, ("", 0))', by) for by in ("key=None", "")),
            *(('("", 0)', by) for by in ('("XXXX", 0)', '("", 1)')),
        ),
        *(
            _same(
                "Where a blob lies is looked up again where it is not said.",
                within,
                *(("digest, pieces)", "digest, None)"), ("digest, pieces)", "digest, )")),
            )
            for within in ("scanning.archive._Scan.artifacts", "reader.source.open_blob")
        ),
        _same(
            "In a file that is looked through alone the same is found as in one among others.",
            "scanning.archive._Scan.artifacts",
            *(("> _SMALL", ">= _SMALL"), ("== _AT_ONCE", "!= _AT_ONCE"), ('b"".join', 'b"XXXX".join')),
        ),
        _same(
            "Of the rows behind the one that is meant none is looked at.",
            "scanning.archive._Scan._note",
            *(("hit.text, 1)", by) for by in ("hit.text, None)", "hit.text, )", "hit.text, 2)")),
        ),
        _same(
            "Where a whole value begins is told nobody.",
            "scanning.archive._Scan._rows",
            ("_BY_KEY, 0, rows", "_BY_KEY, 1, rows"),
        ),
        _same(
            "What is searched at once has less than 2 GiB.",
            "scanning.searching.*",
            *((", pa.large_binary())", by) for by in (", None)", ", )")),
        ),
        _same(
            "Beside key and value a table has an owner.",
            "scanning.archive._Scan.*",
            ('{"key", "value"} <=', '{"key", "value"} <'),
        ),
        _same(
            "Neither is the name of the table of artifacts.",
            "scanning.archive._Scan.unknown_tables",
            ('rows, "")', 'rows, "XXXX")'),
        ),
        _same("An address that is found has one @.", "scanning.patterns.is_email", ("text.part", "text.rpart")),
        _same("Digits of an escape have no case.", "scanning.report._toml_value", ('u007f")', 'u007F")')),
        _same(
            "Lines that are not looked through with their block are with the next.",
            "scanning.searching.Searcher.file",
            ("data.rfind", "data.find"),
        ),
        _same(
            "Any number from 1 on and below the length of a piece has one piece begin.",
            "scanning.searching._cut",
            ("max(1, len", "max(2, len"),
        ),
    )
)
