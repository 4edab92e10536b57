"""Level full, tables: every part decodes, has the rows it states, in order, and every row has its owner."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.errors import DamagedError
from mlflow_archive.format.manifest import Member
from mlflow_archive.format.unknown_tables import database_table
from mlflow_archive.kinds import BY_ROW, EXPERIMENT, TABLES, Table, is_identity
from mlflow_archive.reader.archive import Archive, owner_ids
from mlflow_archive.reader.stored.parts import Part
from mlflow_archive.reader.unknown_tables import unknown_groups, unknown_tables
from mlflow_archive.verification.report import Found, VerifyReport
from mlflow_archive.verification.sharing_out import SharedChecks


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRange:
    """Rows that are lost or suspect: those of ``table`` whose first key column lies in the range."""

    table: Table
    export: int
    low: str
    high: str

    @property
    def span(self) -> str:
        """The keys as people read them."""
        return self.low if self.low == self.high else f"{self.low} … {self.high}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identified:
    """Objects of a kind that rows say there are; ``keys`` is the first column of their key where ids are another."""

    kind: str
    ids: pa.ChunkedArray
    keys: pa.ChunkedArray | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Referred:
    """Objects of a kind that rows belong to; ``behind`` is how many problems of the part were found before."""

    kind: str
    ids: pa.Array
    behind: int


@dataclass(slots=True, kw_only=True)
class PartFound(Found):
    """What the check of one part found. Whether objects that it refers to are there is for who has seen all parts."""

    member: Member
    damaged: list[KeyRange] = field(default_factory=list)
    identified: list[Identified] = field(default_factory=list)
    referred: list[Referred] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class TableFindings:
    """What the checks of all parts found. ``ids`` are the entities of each kind that could be read: their id, and
    the first column of their key, by which their rows are sorted; in a delta others lie in its base."""

    of_delta: bool = False
    damaged: list[KeyRange] = field(default_factory=list)
    ids: dict[str, dict[str, str]] = field(default_factory=dict)

    def take(self, findings: PartFound, report: VerifyReport, *, suspect: bool) -> None:
        """Add what was found of a part, after the parts that it refers to; of a ``suspect`` one all is damaged."""
        self.damaged += findings.damaged or ([_whole(findings.member)] if suspect else [])
        for identified in findings.identified:
            ids = identified.ids.to_pylist()  # of which there may be millions, so not twice where they are the keys
            keys = ids if identified.keys is None else identified.keys.to_pylist()
            self.ids.setdefault(identified.kind, {}).update(zip(ids, keys, strict=True))
        done = 0
        for referred in findings.referred:
            report.extend(findings.problems[done : referred.behind])
            done = referred.behind
            self._check_there(referred, findings.member, report)
        report.take(findings, slice(done, None))

    def _check_there(self, referred: Referred, member: Member, report: VerifyReport) -> None:
        known = self.ids.get(referred.kind, {})
        absent = [value for value in referred.ids.to_pylist() if value not in known]
        if absent and not self.of_delta:
            name = referred.kind.replace("_", " ")
            message = f"{len(absent)} {name}s have rows here and are not in the archive, such as {absent[0]}"
            report.add("E051", member.path, message)


def check_tables(
    archive: Archive,
    report: VerifyReport,
    bad_members: set[str],
    *,
    jobs: int,
    only: Container[str] | None = None,
    shared: SharedChecks | None = None,
) -> TableFindings:
    """Read every part, or those in ``only``, which all that say what there is must be among; by threads or workers.

    ``bad_members`` are those whose hash is wrong: rows of theirs that decode are suspect.
    """
    findings = TableFindings(of_delta=archive.manifest.delta is not None)
    # Identity tables first, and experiments before all: rows elsewhere refer to them.
    names = sorted(TABLES, key=lambda name: (not is_identity(TABLES[name]), name != "experiments"))
    members = [m for name in names for m in archive.parts(name) if only is None or m.path in only]
    for piece in (
        _by_threads(archive, members, jobs) if shared is None else shared.run(check_parts, members, weighed=False)
    ):
        for part in piece:
            findings.take(part, report, suspect=part.member.path in bad_members)
    if only is None:
        _check_unknown_tables(archive, report)
    return findings


def _by_threads(archive: Archive, members: Iterable[Member], jobs: int) -> Iterator[list[PartFound]]:
    with ThreadPoolExecutor(jobs, thread_name_prefix="verify") as pool:
        yield from pool.map(lambda member: check_parts(archive, [member]), members)


def check_parts(archive: Archive, members: Sequence[Member]) -> list[PartFound]:
    """Read some parts."""
    return [_check_part(archive, member) for member in members]


def _check_unknown_tables(archive: Archive, report: VerifyReport) -> None:
    try:
        unknown_tables(archive)
    except DamagedError as error:
        report.add_error(error)
    for member in archive.manifest.members:
        if database_table(member) is None:
            continue
        try:
            rows = sum(group.num_rows for group in unknown_groups(archive, member))
        except DamagedError as error:
            if error.code not in ("E010", "E011"):
                report.add_error(error)
            continue
        report.count("rows", rows)
        if rows != member.rows:
            report.add("E032", member.path, f"it has {rows} rows, the manifest states {member.rows}")


def _whole(member: Member) -> KeyRange:
    table = TABLES[member.table or ""]
    return KeyRange(table=table, export=member.export, low=member.key_min or "", high=member.key_max or "")


def _check_part(archive: Archive, member: Member) -> PartFound:
    findings = PartFound(member=member)
    try:
        part = archive.open_part(member)
        groups = part.row_groups()
    except DamagedError as error:
        if error.code not in ("E010", "E011"):
            findings.add_error(error)
        findings.damaged.append(_whole(member))
        return findings
    if not part.rows == member.rows == sum(group.rows for group in groups):
        findings.add("E032", member.path, f"it has {part.rows} rows, the manifest states {member.rows}")
    _check_checksums(part, findings)
    previous: pa.Table | None = None
    sorted_within = True
    for group in groups:
        try:
            rows = part.read(group.index)
        except DamagedError as error:
            findings.add_error(error)
            whole = _whole(member)
            low, high = group.key_min or whole.low, group.key_max or whole.high
            findings.damaged.append(replace(whole, low=low, high=high))
            previous = None
            continue
        findings.count("rows", rows.num_rows)
        if belied := part.false_statistics(group.index, rows):
            findings.add("E034", member.path, f"row group {group.index}: {belied}, so readers would leave it out")
        sorted_within &= _check_rows(part, member, rows, previous, findings)
        _collect_owners(part.table, rows, findings)
        previous = rows.slice(rows.num_rows - 1) if rows.num_rows else previous
    if part.table.unique and not sorted_within and _holds_key_twice(part):
        key = ", ".join(part.table.key)
        findings.add("E035", member.path, f"a key ({key}) occurs twice, in rows that are not sorted")
    return findings


def _check_checksums(part: Part, findings: Found) -> None:
    try:
        if not part.has_page_checksums():
            findings.add("W006", part.name, "its pages have no checksums")
    except DamagedError as error:
        findings.add_error(error)


def _check_rows(part: Part, member: Member, rows: pa.Table, previous: pa.Table | None, findings: Found) -> bool:
    """Check order, uniqueness and key range of a row group together with the last row before it.

    Returns whether rows of one first key are sorted: only then are equal keys neighbours.
    """
    if not rows.num_rows:
        return True
    table = part.table
    keys = rows[table.key[0]]
    if keys[0].as_py() < (member.key_min or "") or keys[-1].as_py() > (member.key_max or ""):
        findings.add(
            "E037", member.path, f"its keys reach from {keys[0]} to {keys[-1]}, outside of the manifest's range"
        )
    joined = rows if previous is None else pa.concat_tables([previous, rows])
    if joined.num_rows < 2:
        return True
    order, equal = _compare_neighbours(joined, table)
    worst: int = pc.max(order).as_py()
    if worst == 2:
        findings.add("E033", member.path, f"rows are not sorted by {table.key[0]}")
    elif worst == 1:
        findings.add("W007", member.path, f"rows of one {table.key[0]} are not sorted by {', '.join(table.key)}")
    if table.unique and pc.any(equal).as_py():
        findings.add("E035", member.path, f"a key ({', '.join(table.key)}) occurs twice")
    return worst == 0


def _holds_key_twice(part: Part) -> bool:
    """Return whether a key occurs twice among rows that are sorted by the first key at most."""
    key = part.table.key
    of_one = pa.table([])
    for group in part.row_groups():
        try:
            rows = part.read(group.index, key)
        except DamagedError:
            continue  # told where rows are checked
        rows = pa.concat_tables([of_one, rows]) if of_one.num_rows else rows
        if rows.group_by(list(key)).aggregate([]).num_rows < rows.num_rows:
            return True
        of_one = rows.filter(pc.equal(rows[key[0]], rows[key[0]][-1])) if rows.num_rows else rows
    return False


def _compare_neighbours(rows: pa.Table, table: Table) -> tuple[pa.Array, pa.Array]:
    """Compare each row with the next: 0 in order, 1 out of order behind the first key, 2 at the first; equal keys."""
    equal = pa.array([True]).take(pa.array([0] * (rows.num_rows - 1), pa.int64()))
    order = pa.array([0]).take(pa.array([0] * (rows.num_rows - 1), pa.int64()))
    for position, name in enumerate(table.key):
        column = rows[name].combine_chunks()
        current, following = column[:-1], column[1:]
        wrong = pc.and_(equal, pc.fill_null(pc.greater(current, following), False))
        order = pc.if_else(pc.and_(wrong, pc.equal(order, 0)), 2 if position == 0 else 1, order)
        equal = pc.and_(equal, pc.fill_null(pc.equal(current, following), False))
    return order, equal


def _collect_owners(table: Table, rows: pa.Table, findings: PartFound) -> None:
    """Collect the objects that rows say there are, and those that they belong to, by their kind."""
    if table.entity is None:
        return
    if is_identity(table):
        keys = None if table.key[:1] == table.owner else rows[table.key[0]]
        findings.identified.append(Identified(kind=table.entity, ids=owner_ids(rows, table), keys=keys))
        if "experiment_id" in table.owner or table.name == "runs":
            _refer(rows["experiment_id"], EXPERIMENT, findings)
    elif table.entity != BY_ROW:
        _refer(owner_ids(rows, table), table.entity, findings)
    elif table.name in ("artifacts", "fingerprints"):
        for kind in rows["owner_kind"].unique().to_pylist():
            of_kind = rows.filter(pc.equal(rows["owner_kind"], kind))
            _refer(of_kind["owner_id"], kind, findings)


def _refer(ids: pa.Array | pa.ChunkedArray, kind: str, findings: PartFound) -> None:
    findings.referred.append(Referred(kind=kind, ids=ids.unique(), behind=len(findings.problems)))


def owners_in(ranges: list[KeyRange], ids: dict[str, str], kind: str) -> Iterator[str]:
    """Yield the ids of a kind that lie in a damaged range of a table which that kind owns."""
    relevant = [r for r in ranges if r.table.entity in (kind, BY_ROW)]
    for value, key in ids.items():
        # Tables of owners of every kind are sorted by the id, all others by the first column of the key.
        if any(r.low <= (value if r.table.entity == BY_ROW else key) <= r.high for r in relevant):
            yield value
