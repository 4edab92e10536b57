"""Answers on stdout, as text for people or as JSON for programs, behind one interface.

Text is for people (``table``). JSON is one document, or
for lists one object a line; times are ISO 8601 in UTC, bytes hex, and NaN and infinities the strings MLflow's API has.
"""

from __future__ import annotations

import csv
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol, TextIO

import click

from mlflow_archive.flow.causes import causes
from mlflow_archive.flow.chunk import Gap
from mlflow_archive.reader.inspection.rows import Moment
from mlflow_archive_cli.escaping import one_line
from mlflow_archive_cli.table import Section, listed, print_section

Row = Mapping[str, Any]
_LISTED_CAUSES = 20
_EXAMPLES = 3


class Output(Protocol):
    """Where an answer goes."""

    def document(self, document: Mapping[str, Any], sections: Iterable[Section]) -> None:
        """Give one answer: JSON takes ``document``, text the sections."""

    def rows(
        self, columns: Sequence[str], rows: Iterable[Row], *, right: Sequence[str] = (), whole: bool = False
    ) -> None:
        """Give a list with these columns; ``right`` names those that are aligned to the right.

        Unless ``whole``, a terminal may leave away columns for which it has no room.
        """


class JsonOutput:
    """Writes JSON."""

    def document(self, document: Mapping[str, Any], sections: Iterable[Section]) -> None:
        print(json.dumps(plain(document), indent=2, allow_nan=False))

    def rows(
        self, columns: Sequence[str], rows: Iterable[Row], *, right: Sequence[str] = (), whole: bool = False
    ) -> None:
        for row in rows:
            print(json.dumps({name: plain(row[name]) for name in columns}, allow_nan=False))


class TextOutput:
    """Writes text."""

    def document(self, document: Mapping[str, Any], sections: Iterable[Section]) -> None:
        first = True
        for section in sections:
            if not section.rows:
                continue
            if not first:
                print()
            first = False
            print_section(section)

    def rows(
        self, columns: Sequence[str], rows: Iterable[Row], *, right: Sequence[str] = (), whole: bool = False
    ) -> None:
        cells = [[flat(row[name]) for name in columns] for row in rows]
        print_section(listed(columns, cells, right, whole=whole))


class CsvOutput:
    """Writes CSV (RFC 4180, but lines end in LF): a line of names, then the rows; nothing where a value is missing."""

    def document(self, document: Mapping[str, Any], sections: Iterable[Section]) -> None:
        raise TypeError("one document is no table")

    def rows(
        self, columns: Sequence[str], rows: Iterable[Row], *, right: Sequence[str] = (), whole: bool = False
    ) -> None:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            values = [plain(flat(row[name])) for name in columns]
            writer.writerow(["" if value is None else value for value in values])


def output(*, as_json: bool, as_csv: bool = False) -> Output:
    """Return the output that the caller asked for. Raises UsageError where both are."""
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    return JsonOutput() if as_json else CsvOutput() if as_csv else TextOutput()


def plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, Moment):
        return value.iso()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return _of_query(value)


def _of_query(value: Any) -> Any:
    """Return a value of the other types that only a query answers with."""
    if isinstance(value, Decimal):  # what DuckDB makes of sum() of whole numbers, too
        return int(value) if value.as_tuple().exponent == 0 else float(value)
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if isinstance(value, date | time) else value


def flat(value: Any) -> Any:
    """Return a value for one cell: what is nested as JSON, bytes in hex."""
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(plain(value), allow_nan=False, ensure_ascii=False)
    return value.hex() if isinstance(value, bytes) else value


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a report or receipt to a file, ``-`` is stdout."""
    text = json.dumps(plain(document), indent=2, allow_nan=False) + "\n"
    if str(path) == "-":
        sys.stdout.write(text)
        sys.stdout.flush()  # a disk that is full is told here, where it is known what was to be written
    else:
        with whole_file(path) as part:
            part.write_text(text, encoding="utf-8")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a path to write to that becomes ``path`` once it is whole; a file that is there stays until then.

    A pipe or a device is written itself.
    """
    if path.exists() and not path.is_file():
        yield path
        return
    place = path.resolve()
    part = place.with_name(f".{place.stem}.{os.getpid()}.part{place.suffix}")
    try:
        yield part
        part.replace(place)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def warn(sentence: str, stream: TextIO | None = None) -> None:
    """Tell a person something on stderr."""
    print(one_line(sentence), file=stream or sys.stderr)


def list_gaps(gaps: Sequence[Gap], total: int, *, sentence: str, option: str) -> None:
    """List on stderr what is missing, grouped by cause, with a count and some examples; the rest is in ``option``."""
    warn(f"{total} {sentence}:")
    ordered = [cause.gaps for cause in causes(gaps)]
    for alike in ordered[:_LISTED_CAUSES]:
        count = f"{len(alike)} times, such as: " if len(alike) > 1 else ""
        warn(f"  {count}{alike[0].reason} [{alike[0].code}]")
        for gap in alike[:_EXAMPLES]:
            warn("    " + " ".join(filter(None, (gap.owner_kind, gap.owner_id, gap.path))))
        if len(alike) > _EXAMPLES:
            warn(f"    and {len(alike) - _EXAMPLES} more")
    listed = sum(map(len, ordered[:_LISTED_CAUSES]))
    if total > listed or any(len(alike) > _EXAMPLES for alike in ordered):
        others = f"  and {total - listed} more; all" if total > listed else "  all"
        warn(f"{others} of them with {option}")
