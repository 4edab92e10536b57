"""Mutants that change nothing that anybody could see, each with the reason; they do not count."""

from __future__ import annotations

import re
from typing import Final

from tests.mutants import equivalents_of_reading
from tests.mutants.equivalent import ANYWHERE, Equivalent, Unseen

UNSEEN: Final = (
    Unseen(
        within=ANYWHERE,
        shown=lambda lines: re.sub(r"(, *)?thread_name_prefix=[^,)]*", "", lines).replace(", )", ")"),
        reason="Names of threads are for debuggers.",
    ),
    *(
        Unseen(within=within, shown=str.casefold, reason="SQL has no case.")
        for within in ("writer.scratch.*", "retiring.database_site.DatabaseSite.roots")
    ),
    Unseen(
        within=ANYWHERE,
        shown=lambda lines: re.sub(r"(, *)?use_threads=\w+", "", lines).replace(", )", ")"),
        reason="Whether a library uses several threads is a matter of speed.",
    ),
    Unseen(
        within="reader.archive.Archive.anticipate",
        shown=lambda lines: re.sub(r"ThreadPoolExecutor\((_TOGETHER, |None, )?", "ThreadPoolExecutor(", lines),
        reason="How many parts are read ahead at a time is a matter of speed.",
    ),
    Unseen(
        within="storage.*",
        shown=lambda lines: re.sub(
            r"ThreadPoolExecutor\((_HASHING, |min\(.*?\)\), |None, )?", "ThreadPoolExecutor(", lines
        ),
        reason="How many members are hashed, or ranges brought, at a time is a matter of speed.",
    ),
)

EQUIVALENTS: Final[tuple[Equivalent, ...]] = (
    Equivalent(within=ANYWHERE, code='"utf-8"', by='"UTF-8"', reason="Names of codecs have no case."),
    Equivalent(within=ANYWHERE, code='"ascii"', by='"ASCII"', reason="Names of codecs have no case."),
    Equivalent(
        within=ANYWHERE,
        code='TABLES[member.table or ""]',
        by='TABLES[member.table or "XXXX"]',
        reason="A member of a table states its name; no other is looked for.",
    ),
    *(
        Equivalent(
            within=within,
            code=", strict=True)",
            by=by,
            reason="Columns of one table, or names and a key, have one length.",
        )
        for within in (
            *(
                "format.fingerprint.fingerprints_of",
                "format.nul_characters.without_nul",
                "writer.base.experiment_facts",
            ),
            *("writer.bucket_target.BucketTarget.placed", "writer.chunks._without_owners", "writer.finishing.*"),
            "packing.pack._Packing._cut",
            *("repairing.drafts.*", "repairing.holdings.Holdings._entities", "repairing.manifests._plausible_ids"),
            *("repairing.mending.Mending.run", "repairing.salvage*"),
            *("writer.compacting.indexed.IndexedExtents.of", "writer.index._digests", "writer.index._with_gaps"),
        )
        for by in (", )", ", strict=False)")
    ),
    Equivalent(
        within="format.unknown_tables.database_table",
        code='or ""',
        by='or "XXXX"',
        reason="Neither begins as the name of such a table does.",
    ),
    Equivalent(
        within="format.manifest.decode",
        code='required_features=reader.names(document, "required_features"),',
        by="",
        reason="The one feature that is known, `delta`, is written by a function of its own.",
    ),
    Equivalent(
        within="format.zipfile64._central_record",
        code='"<HH"',
        by='"<hh"',
        reason="An id of 1 and a length of at most 24 are the same with a sign.",
    ),
    Equivalent(
        within="format.zipfile64._decode_record",
        code="== _LIMIT and len",
        by="== _LIMIT or len",
        reason="An entry with only one of the two is refused by the comparison with what it should be.",
    ),
    Equivalent(
        within="storage.members.OpenFile.close", code="= -1", by="= -2", reason="Any number below 0 says: closed."
    ),
    Equivalent(
        within="storage.private_folder.remove_left_behind",
        code="follow_symlinks=False",
        by="follow_symlinks=True",
        reason="On Linux a link has a mode that the next check refuses.",
    ),
    Equivalent(
        within="storage.unfinished_file.UnfinishedFile.add",
        code="member.size, 0, output",
        by="member.size, 1, output",
        reason="The header is written over when the CRC is known.",
    ),
    *(
        Equivalent(
            within="sinks.replay.writing.failures.once",
            code='ItemError("it was not tried")',
            by=f"ItemError({text})",
            reason="It is tried at least once, so there is a doubt to raise.",
        )
        for text in ("None", '"XXit was not triedXX"', '"IT WAS NOT TRIED"')
    ),
    Equivalent(
        within="writer.merge.slices",
        code="position < len(ordered)",
        by="position <= len(ordered)",
        reason="One behind the end of a list is its end.",
    ),
    Equivalent(
        within="reader.stored.pages._page",
        code="end - position):",
        by="end + position):",
        reason="What is cut short is read again, in more bytes, and is cut short then, too.",
    ),
    *(
        Equivalent(within=within, code=code, by=by, reason="Values of others are read, too, and belong to nobody.")
        for within, code, by in (
            ("reader.search.evaluate._by_group", "owners)[", "None)["),
            ("reader.search.evaluate._values", "owners=owners)", "owners=None)"),
        )
    ),
    Equivalent(
        within="reader.stored.recent.RecentGroups.rows",
        code="pa.array(ids, pa.string())",
        by="pa.array(ids, )",
        reason="Ids are texts, and somebody asks for one at least.",
    ),
    Equivalent(
        within="reader.stored.recent.RecentGroups.rows",
        code="if recent.in_order else",
        by="if (recent.in_order) and False else",
        reason="Rows outside of the range are looked at, and left out after that.",
    ),
    *(
        Equivalent(
            within="reader.stored.row_groups.RowGroups._longest",
            code="columns=unknown, ",
            by=by,
            reason="More columns are read than are asked for.",
        )
        for by in ("columns=None, ", "")
    ),
    *(
        Equivalent(
            within="reader.stored.*",
            code='mode="r")',
            by=by,
            reason="A file object says by itself that it is to be read.",
        )
        for by in ("mode=None)", ")")
    ),
    *(
        Equivalent(
            within="reader.search.grammar._operator",
            code='reader.take("operator", "")',
            by=f'reader.take("operator", {by})',
            reason="There is an operator, so none is missed.",
        )
        for by in ("None", '"XXXX"')
    ),
    *(
        Equivalent(
            within="reader.blobs.Blobs.open",
            code="1024 * 1024",
            by=by,
            reason="How much is read ahead is a matter of speed.",
        )
        for by in ("1025 * 1024", "1024 * 1025")
    ),
    *(
        Equivalent(within="reader.archive.*", code=code, by=by, reason="With one export none is newer.")
        for code, by in (
            ("len(self.manifest.exports) > 1", "len(self.manifest.exports) >= 1"),
            ("len(self.manifest.exports) > 1", "(len(self.manifest.exports) > 1) or True"),
            ("if several_exports else", "if (several_exports) or True else"),
        )
    ),
    Equivalent(
        within="reader.source._place",
        code='("", 0, 0)',
        by='("", 0, 1)',
        reason="Files without a pack come before all others, in any order.",
    ),
    Equivalent(
        within="reader.stored.row_groups.RowGroups.read",
        code="columns=written, ",
        by="",
        reason="More columns are read than are asked for.",
    ),
    *(
        Equivalent(
            within="verification.tables.check_tables",
            code='name != "experiments"',
            by=by,
            reason="Experiments stand first among the tables as these are declared.",
        )
        for by in ('name != "EXPERIMENTS"', 'name != "XXexperimentsXX"')
    ),
    Equivalent(
        within="verification.packs.PackCheck._prove",
        code="row.raw_offset == 0 and",
        by="row.raw_offset == 1 and",
        reason="A blob in one piece is found right as one in several is.",
    ),
    Equivalent(
        within="format.zipfile64.laid_out",
        code="size, 0, end_of",
        by="size, 1, end_of",
        reason="How long an entry is does not depend on its checksum.",
    ),
    Equivalent(
        within="storage.unfinished_file.UnfinishedFile.begin",
        code="name, 0, 0, output",
        by="name, 0, 1, output",
        reason="The header is written over when the CRC is known.",
    ),
    *(
        Equivalent(
            within="packing.survey._digests",
            code="(2, thread",
            by=by,
            reason="How many files are hashed at a time is a matter of speed.",
        )
        for by in ("(3, thread", "(None, thread", "(thread")
    ),
    Equivalent(
        within="packing.stream.ReadAhead.close",
        code="join(0.01)",
        by="join(1.01)",
        reason="How often it is looked whether a thread has ended is a matter of speed.",
    ),
    Equivalent(
        within="storage.copying._copy_member",
        code="member.crc32 or 0",
        by="member.crc32 or 1",
        reason="The header is written over when the CRC is known.",
    ),
    *(
        Equivalent(
            within="storage.remote.object_bytes._ahead",
            code="(1, thread",
            by=by,
            reason="One block is on its way at a time, however many threads there are.",
        )
        for by in ("(thread", "(None, thread", "(2, thread")
    ),
    *(
        Equivalent(within=within, code="at + 1)", by="at + 2)", reason="Two signatures do not overlap.")
        for within in ("repairing.loose_file._signatures", "repairing.units.next_label")
    ),
    Equivalent(
        within="packing.unpack._Unpacking._bring",
        code='rpartition("/")',
        by='partition("/")',
        reason="Signatures lie in one folder.",
    ),
    *(
        Equivalent(
            within="packing.parity.create_parity",
            code='folder / "empty"',
            by=by,
            reason="Any folder that is empty serves, and goes at once.",
        )
        for by in ('folder / "XXemptyXX"', 'folder / "EMPTY"')
    ),
    *(
        Equivalent(
            within="packing.unpack._Unpacking.__init__",
            code='"volumes"',
            by=by,
            reason="The folder in which a set is mended has any name of ours.",
        )
        for by in ('"XXvolumesXX"', '"VOLUMES"')
    ),
    Equivalent(
        within="packing.mending.MendingFolder.mend",
        code="folder), 1)",
        by="folder), 2)",
        reason="What is not named as one of a set is looked at under any name.",
    ),
    Equivalent(
        within="repairing.drafts.Draft.settle_rest",
        code="len(runs) < 32",
        by="len(runs) < 33",
        reason="Of 32 differences there are more ways than are tried.",
    ),
    Equivalent(
        within="repairing.drafts.Draft._ways",
        code="MAX_TRIED_BYTES // (",
        by="MAX_TRIED_BYTES / (",
        reason="A whole number is at most a fraction where it is at most the whole ones in that.",
    ),
    Equivalent(
        within="repairing.units.next_label",
        code="position < pack.size",
        by="position <= pack.size",
        reason="At the end of a pack no label begins.",
    ),
    Equivalent(
        within="repairing.holdings.Holdings.keep",
        code='or ""]',
        by='or "XXXX"]',
        reason="Rows of a table without owners are all kept before.",
    ),
    Equivalent(
        within="repairing.manifests._checksum_lines",
        code='or b"")',
        by='or b"XXXX")',
        reason="What is no line of checksums is left out.",
    ),
    Equivalent(
        within="writer.compacting.survey.ThinningSurvey._pack",
        code="raw_size or 1)",
        by="raw_size or 2)",
        reason="Of a frame without bytes no share goes.",
    ),
    Equivalent(
        within="writer.packs.FrameBuilder.__init__",
        code="MAX_FRAME_RAW + 1",
        by="MAX_FRAME_RAW + 2",
        reason="One byte more than fits says as much as two.",
    ),
    Equivalent(
        within="writer.destination.Destination.__init__",
        code="self._work, 1)",
        by="self._work, 2)",
        reason="Beside a destination no journal of an export is kept, which the number would be of.",
    ),
    Equivalent(
        within="writer.index.IndexBase._read_header",
        code="max(0, size",
        by="max(1, size",
        reason="What is no header from its first byte on is none from its second.",
    ),
    *(
        Equivalent(
            within="writer.blob_rows.index_pieces",
            code="[rows], durable=False",
            by=f"[rows], durable={by}",
            reason="What the same process reads again need not be on the medium.",
        )
        for by in ("True", "None")
    ),
    Equivalent(within="retiring.*", code='" FOR UPDATE"', by='" for update"', reason="SQL has no case."),
    Equivalent(
        within="retiring.kept.KeptEntities.of",
        code="owners=owners):",
        by="):",
        reason="Rows of others are summed up, too, and asked for by nobody.",
    ),
    *(
        Equivalent(
            within="writer.index._groups",
            code='table.name == "fingerprints"',
            by=by,
            reason="Fingerprints are of kinds whose rows are left out next.",
        )
        for by in ('table.name == "XXfingerprintsXX"', 'table.name == "FINGERPRINTS"')
    ),
)


KNOWN: Final[tuple[Equivalent | Unseen, ...]] = (*EQUIVALENTS, *equivalents_of_reading.EQUIVALENTS, *UNSEEN)
"""All that is known to change nothing."""


def is_equivalent(function: str, removed: str, added: str) -> bool:
    """Return whether a mutant is one of those that are known to change nothing."""
    return any(known.is_made_by(function, removed, added) for known in KNOWN)
