"""Which tests are likely to find a fault in which code: those that reach it without servers, in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """Code, as patterns of paths below ``archive/mlflow_archive``, and paths of tests below ``tests``.

    ``left_out`` begins the names of those of the tests that are not asked: a survivor would cost them all, and what
    they find others find in less time.
    """

    code: tuple[str, ...]
    tests: tuple[str, ...]
    left_out: tuple[str, ...] = ()


PACKAGES: Final[Mapping[str, Package]] = MappingProxyType(
    {
        "format": Package(
            code=("format/*",),
            tests=("format", "spec/test_vectors.py", "repairing/test_loose_file.py", "writer/test_keep.py"),
        ),
        "verification": Package(
            code=("verification/*",), tests=("verification", "signing/test_checks.py", "writer/test_delta.py")
        ),
        "storage": Package(
            code=("storage/*",),
            tests=(
                *("storage", "spec/test_vectors.py"),
                *(
                    "remote/test_connecting.py",
                    "remote/test_cut_reading.py",
                    "remote/test_ranges.py",
                    "remote/test_reading.py",
                    "remote/test_requests.py",
                    "remote/test_signing_in.py",
                    "remote/test_store_options.py",
                    "remote/test_stores.py",
                    "remote/test_writing.py",
                ),
            ),
        ),
        "writer": Package(
            code=("writer/*",),
            tests=(
                *("writer/test_merge.py", "writer/test_scratch.py", "writer/test_staged.py", "writer/test_staging.py"),
                "writer/test_fewer_runs.py",
                *("writer/test_resumed_packs.py", "writer/test_resumed_kinds.py", "writer/test_append.py"),
                *("writer/test_frames.py", "writer/test_parts.py", "writer/test_row_groups.py"),
                *("writer/test_settled.py", "writer/test_withdrawn.py", "writer/test_sink.py"),
                *("writer/test_target.py", "writer/test_delta.py", "writer/test_index.py", "writer/test_join.py"),
                *("writer/test_once.py", "writer/test_out_of_reach.py", "remote/test_writing.py"),
                *("writer/test_bucket_commit.py", "writer/test_redacted.py", "writer/test_thinned_packs.py"),
                *("writer/test_compact.py", "writer/test_compact_labels.py", "writer/test_keep.py"),
                *("writer/test_finishing.py", "writer/test_shard_writer.py", "remote/test_writing_by_workers.py"),
                *("writer/test_base.py", "writer/test_refusals.py", "remote/test_targets.py"),
                "redacting/test_export.py",
                "workers/test_sharing_out.py::test_an_interrupted_export_is_continued_by_others",
                "writer/test_laws.py::test_order_and_threads_do_not_matter",
                "writer/test_laws.py::test_an_append_with_nothing_new_changes_nothing",
                "writer/test_laws.py::test_a_file_that_changes_while_it_is_read_leaves_no_wrong_frame",
                "writer/test_laws.py::test_a_stream_that_gives_little_at_a_time_is_read_whole",
            ),
            left_out=(
                "remote/test_writing.py::test_killed_at_any_request",
                "workers/test_sharing_out.py::test_an_interrupted_export_is_continued_by_others[archive]",
                "writer/test_append.py::test_points_logged_later_for_earlier_steps_come_from_a_database",
                *(
                    f"writer/test_compact.py::test_archives_of_every_version_are_thinned_out[{version}-"
                    for version in ("v1", "v1_1", "v1_3")
                ),
                "writer/test_compact.py::test_what_it_says_and_states[]",
                *(
                    f"writer/test_index.py::test_objects_without_fingerprints_are_compared_by_their_digests[{change}]"
                    for change in ("an alias more", "a status", "an experiment", "an unknown table less")
                ),
                "writer/test_index.py::test_an_index_is_small_and_holds_no_values",
                "writer/test_join.py::test_a_join_is_what_appends_make_byte_for_byte[]",
                "writer/test_laws.py::test_order_and_threads_do_not_matter[1-7]",
                "writer/test_laws.py::test_order_and_threads_do_not_matter[3-None]",
                "writer/test_once.py::test_it_is_the_file_that_the_directory_form_makes[one pack]",
            ),
        ),
        "reader": Package(
            code=(
                *("reader/adjacent.py", "reader/archive.py", "reader/blobs.py", "reader/selecting.py"),
                *("reader/source.py", "reader/unknown_tables.py", "reader/stored/*", "reader/search/*"),
            ),
            tests=("reader",),
        ),
        "inspection": Package(
            code=("reader/inspection/*",),
            tests=("inspection", "cli/test_looking.py", "cli/test_extract.py"),
        ),
        "restore": Package(
            code=("sinks/restore/histories.py", "sinks/restore/holding.py", "sinks/restore/checks.py"),
            tests=("sinks/test_restore_checks.py", "sinks/test_restored_histories.py"),
        ),
        "replay": Package(
            code=(
                "sinks/replay/runs/run_fitting.py",
                "sinks/replay/writing/fitting.py",
                "sinks/replay/writing/references.py",
                "sinks/replay/writing/failures.py",
            ),
            tests=("sinks/test_fitting.py", "sinks/test_references.py", "sinks/test_failures.py"),
        ),
        "sources": Package(
            code=("sources/database/converting.py", "sources/reading/*", "sources/filtering/*"),
            tests=(
                *("sources/test_database_values.py", "sources/test_fields.py", "sources/test_unknown_fields.py"),
                *("sources/test_filters.py", "sources/test_records.py", "sources/test_mlruns_values.py"),
            ),
        ),
        "selecting": Package(code=("selecting/*",), tests=("selecting",)),
        "repairing": Package(
            code=("repairing/*",),
            tests=("repairing",),
            left_out=(
                "repairing/test_compact_interrupted.py",
                "repairing/test_interrupted.py",
                "repairing/test_mending.py::test_two_copies_with_many_damages_each_give_one_sound_archive",
            ),
        ),
        "packing": Package(
            code=("packing/*",),
            tests=("packing", "road/test_behind.py", "road/test_packing.py", "road/test_packing_damage.py"),
        ),
        "signing": Package(code=("signing/*",), tests=("signing",)),
        "redacting": Package(code=("redacting/*",), tests=("redacting",)),
        "scanning": Package(code=("scanning/*",), tests=("scanning",)),
        "retiring": Package(
            code=(
                *("retiring/age.py", "retiring/contents.py", "retiring/database_rows.py", "retiring/database_site.py"),
                *("retiring/elsewhere.py", "retiring/judging.py", "retiring/kept.py", "retiring/plan.py"),
                *("retiring/purge.py", "retiring/purged_files.py", "retiring/reading.py", "retiring/receipt.py"),
                *("retiring/journal.py", "retiring/retire.py", "retiring/site.py", "retiring/taking_back.py"),
                *("retiring/trace_rows.py", "retiring/turn.py"),
            ),
            tests=("retiring",),
            left_out=("retiring/test_law.py",),
        ),
        "workers": Package(
            code=("workers/crew.py", "workers/kept.py"), tests=("workers/test_crew.py", "workers/test_kept.py")
        ),
    }
)
