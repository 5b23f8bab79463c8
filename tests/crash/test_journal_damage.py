"""I5, I6: any damaged byte, any cut, any strange file: it starts, loses only what was touched, and says how much."""

import errno
import os
import random
import re
import zlib
from functools import cache

import pytest
from crash.journal_model import CAP, PREAMBLE_KIND, SMALL, fresh, opened, read_all, run, workload
from crash.simulated_disk import Inode

from gateway.journal.errors import FutureFormat
from gateway.journal.log import Limits
from gateway.journal.sealed import span_of
from gateway.journal.segment import BASE, BLOCK, COMMIT, ENTRY, HEADER_BYTES, MARK, is_segment, parse_header

pytestmark = pytest.mark.crash


def filled(seed=1, *, steps=60, limits=SMALL, cap_bytes=CAP, sealed=False):
    """A closed journal of several segments, and what it holds. `sealed`: all but the last, some of them thinned."""
    disk, history, rng = fresh(seed)
    journal = opened(disk, limits=limits, cap_bytes=cap_bytes)
    run(workload(journal, history, rng, steps=steps, sealing=False))
    if sealed:
        history.thin(journal, 1)
        while journal._shelf.seal_next():
            pass
    run(journal.close())
    history.promised(journal)
    return disk, history


@cache
def records(disk, name):
    """(role, position, offset, end) of everything in a segment of a disk that does not change any more."""
    data = bytes(disk.live[name].live)
    segment = parse_header(name, data[:HEADER_BYTES])
    return [
        (f.role, f.position, f.offset, f.end) for f in segment.scan(data[HEADER_BYTES:], base=HEADER_BYTES, whole=True)
    ]


@cache
def spans(disk, name):
    """{offset of a block: the positions it stands for}."""
    data = bytes(disk.live[name].live)
    found = parse_header(name, data[:HEADER_BYTES]).scan(data[HEADER_BYTES:], base=HEADER_BYTES, whole=True)
    return {f.offset: range(f.position, f.position + span_of(f)) for f in found if f.role == BLOCK}


def segments(disk):
    return [name for name in sorted(disk.live) if is_segment(name)]


def touched(disk, name, offset, size=1):
    """Positions of the entries that the bytes [offset, offset + size) belong to."""
    hit = [(role, p, at) for role, p, at, end in records(disk, name) if at < offset + size and offset < end]
    blocks = {p for role, _, at in hit if role == BLOCK for p in spans(disk, name)[at]}
    return blocks | {p for role, p, _ in hit if role == ENTRY}


def damaged_copy(disk, name, offset, value):
    copy = disk.snapshot()
    copy.live[name].live[offset : offset + len(value)] = value
    return copy


def check_byte(disk, history, everything, name, offset, value, *, near=False, **options):
    """Open and read it all with one byte changed; with `near` only the segment of the byte is read."""
    lost = touched(disk, name, offset)
    copy = damaged_copy(disk, name, offset, value)
    journal = opened(copy, **options)
    if near:
        held = [p for role, p, *_ in records(disk, name) if role == ENTRY]
        everything = {p: everything[p] for p in range(held[0], held[-1] + 1) if p in everything}
        entries = [e for e in read_until(journal, held[0], held[-1] + 1) if e.position <= held[-1]]
    else:
        entries = read_all(journal)
    got = {entry.position: entry for entry in entries}
    missing = {p for p in everything if p not in got}
    assert missing <= lost, f"{name}+{offset}: lost {missing}, touched {lost}"
    assert all(got[p] == everything[p] for p in got), "a wrong value"
    told = {p for d in journal.damages for p in range(d.first, d.last + 1)}
    assert missing == told & set(everything), f"{name}+{offset}: told {told}, lost {missing}"
    assert journal.next >= history.promise.committed - len(lost)
    assert set(journal.marks) == set(history.promise.marks)
    for mark, data in history.promise.marks.items():
        hit = {history.marked[mark].index(m) for m in (journal.marks[mark], data)}
        assert len(hit) == 1 or marks_touched(disk, name, offset), f"{name}+{offset}: mark {mark} went back"
    return len(missing)


def read_until(journal, start, end):
    out = []
    while start < end and (entries := journal.read(start, limit_bytes=1 << 16)):
        out += [entry for entry in entries if entry.kind != PREAMBLE_KIND]
        start = entries[-1].position + 1
    return out


def marks_touched(disk, name, offset):
    return any(role == MARK and at <= offset < end for role, _, at, end in records(disk, name))


VALUES = ("flip", "zero", "set")


def value_at(disk, name, offset, how, rng):
    byte = disk.live[name].live[offset]
    return bytes(({"flip": byte ^ (1 << rng.randrange(8)), "zero": 0, "set": 0xFF}[how],))


@pytest.fixture(scope="module")
def small():
    return known()


@pytest.fixture(scope="module")
def sealed():
    return known(sealed=True)


def known(**options):
    disk, history = filled(**options)
    return disk, history, {entry.position: entry for entry in read_all(opened(disk.snapshot()))}


@pytest.mark.parametrize("how", VALUES)
def test_i5_a_damaged_byte_costs_at_most_its_record(small, how):
    disk, history, everything = small
    rng = random.Random(how)
    lost = 0
    for name in segments(disk):
        size = len(disk.live[name].live)
        for offset in {*range(HEADER_BYTES + 64), *rng.sample(range(size), 70)}:
            lost += check_byte(disk, history, everything, name, offset, value_at(disk, name, offset, how, rng))
    assert lost > 50


@pytest.mark.parametrize("how", VALUES)
def test_i5_a_damaged_byte_of_a_sealed_segment_costs_at_most_its_block(sealed, how):
    disk, history, everything = sealed
    rng = random.Random(how)
    names = [name for name in segments(disk) if not name.endswith(".seg")]
    lost = 0
    for name in names:
        size = len(disk.live[name].live)
        for offset in {*range(8, HEADER_BYTES, 7), *rng.sample(range(size), 60)}:
            lost += check_byte(disk, history, everything, name, offset, value_at(disk, name, offset, how, rng))
    assert len(names) > 3
    assert lost > 100


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_i5_every_byte_of_64_kib():
    limits = Limits(segment_bytes=8192, tail_bytes=8192, recent_bytes=300)
    disk, history = filled(steps=400, limits=limits, cap_bytes=9 * 8192)
    everything = {entry.position: entry for entry in read_all(opened(disk.snapshot()))}
    rng = random.Random(5)
    names = segments(disk)
    assert sum(len(disk.live[name].live) for name in names) >= 65536
    for name in names:
        for offset in range(len(disk.live[name].live)):
            for how in VALUES:
                near = offset >= HEADER_BYTES + 64 and bool(offset % 61)
                value = value_at(disk, name, offset, how, rng)
                check_byte(disk, history, everything, name, offset, value, near=near, limits=limits, cap_bytes=9 * 8192)


@pytest.mark.parametrize("how", ["zero", "noise"])
def test_i5_a_damaged_sector_costs_at_most_its_records(small, how):
    disk, _, everything = small
    rng = random.Random(7)
    for name in segments(disk):
        for offset in range(0, len(disk.live[name].live), 512):
            value = bytes(512) if how == "zero" else rng.randbytes(512)
            journal = opened(damaged_copy(disk, name, offset, value))
            got = {entry.position: entry for entry in read_all(journal)}
            missing = set(everything) - set(got)
            # Nothing tells of the oldest segment's beginning without its header, nor of a commit that lost its note.
            untold = missing - {p for d in journal.damages for p in range(d.first, d.last + 1)}
            assert all(p < journal.first or p >= journal.next for p in untold)


def test_i5_a_cut_at_any_length_costs_only_what_is_behind_it(small):
    disk, _, everything = small
    last = segments(disk)[-1]
    found = records(disk, last)
    for length in range(len(disk.live[last].live)):
        copy = disk.snapshot()
        del copy.live[last].live[length:]
        journal = opened(copy)
        got = {entry.position: entry for entry in read_all(journal)}
        behind = {p for role, p, _, end in found if role == ENTRY and end > length}
        assert {p: e for p, e in everything.items() if p not in behind} == got, length
        if length % 9 == 0:
            run(extend(journal))


async def extend(journal):
    position = journal.append(1, b"new")
    await journal.commit()
    assert journal.read(position, limit_bytes=1)[-1].payload == b"new"
    await journal.close()


def test_i5_an_unreadable_sector_is_damage_not_a_failure():
    limits = Limits(segment_bytes=16384, tail_bytes=8192, recent_bytes=300)
    disk, _ = filled(steps=300, limits=limits, cap_bytes=4 * 16384)
    everything = {entry.position: entry for entry in read_all(opened(disk.snapshot()))}
    for name in segments(disk):
        for sector in range(0, 16384, 512):
            copy = disk.snapshot()
            copy.unreadable = {(name, sector)}
            got = {entry.position: entry for entry in read_all(opened(copy))}
            assert got == {p: everything[p] for p in got}
            block = sector // 4096 * 4096
            assert set(everything) - set(got) <= touched(disk, name, block, 4096)


def test_i5_a_missing_segment_is_told(small):
    disk, _, everything = small
    for name in segments(disk)[:-1]:
        copy = disk.snapshot()
        del copy.live[name]
        journal = opened(copy)
        got = {entry.position: entry for entry in read_all(journal)}
        held = {p for role, p, *_ in records(disk, name) if role == ENTRY}
        assert set(everything) - set(got) == held & set(everything)
        told = {p for d in journal.damages for p in range(d.first, d.last + 1)}
        assert told == held or name == segments(disk)[0]  # of the oldest nothing tells that it ever was


def test_i5_the_newest_segment_missing_costs_only_itself(small):
    disk, _, everything = small
    copy = disk.snapshot()
    del copy.live[segments(disk)[-1]]
    journal = opened(copy)
    got = {entry.position: entry for entry in read_all(journal)}
    assert got == {p: everything[p] for p in got}
    assert set(everything) - set(got) <= {p for role, p, *_ in records(disk, segments(disk)[-1]) if role == ENTRY}
    run(extend(journal))


def test_i6_swapped_segments_are_read_in_their_order(small):
    disk, _, everything = small
    copy = disk.snapshot()
    one, two = segments(disk)[0], segments(disk)[-1]
    copy.live[one], copy.live[two] = copy.live[two], copy.live[one]
    journal = opened(copy)
    assert {entry.position: entry for entry in read_all(journal)} == everything
    assert journal.damages == ()
    run(extend(journal))
    assert set(everything) < {entry.position for entry in read_all(opened(copy))}


def test_i6_a_second_copy_of_a_segment_is_set_aside(small):
    disk, _, everything = small
    copy = disk.snapshot()
    copy.live["00000000deadbeef.seg"] = copy.live[segments(disk)[1]].copy()
    journal = opened(copy)
    assert {entry.position: entry for entry in read_all(journal)} == everything
    assert [d.segment for d in journal.damages] == ["00000000deadbeef.seg"]
    assert any(name.startswith("quarantine/00000000deadbeef.seg") for name in copy.live)


def test_i6_a_foreign_segment_is_set_aside(small):
    disk, _, everything = small
    from crash.journal_model import Inline, open_journal, preamble

    other = fresh(9)[0]
    foreign = open_journal(
        other, cap_bytes=CAP, limits=SMALL, preamble=preamble, executor=Inline(), fresh_uuid=lambda: b"another journal."
    )
    foreign.append(1, b"foreign")
    run(foreign.close())
    for name in (segments(disk)[0], segments(disk)[-1], "00000000000000ff.seg"):
        copy = disk.snapshot()
        copy.live[name] = other.live[segments(other)[0]].copy()
        journal = opened(copy)
        got = {entry.position: entry for entry in read_all(journal)}
        assert got == {p: everything[p] for p in got}
        assert name in {d.segment for d in journal.damages}
        assert any(n.startswith(f"quarantine/{name}") for n in copy.live)
        run(extend(journal))


def test_i6_a_foreign_identity_does_not_orphan_the_segments(small):
    disk, _, everything = small
    for content in (b"another journal." + zlib.crc32(b"another journal.").to_bytes(4, "little"), b"", b"garbage"):
        copy = disk.snapshot()
        copy.live["identity"] = Inode(content)
        journal = opened(copy)
        assert {entry.position: entry for entry in read_all(journal)} == everything
        assert journal.damages == ()


@pytest.mark.parametrize("content", [b"", b"x", bytes(2048), b"noise " * 400, b"CGJRNL\r\n" + bytes(2040)])
def test_i6_it_starts_on_strange_files(small, content):
    disk, _, everything = small
    for name in (
        segments(disk)[0],
        segments(disk)[-1],
        "ffffffffffffffff.seg",
        "x.seg",
        "ffffffffffffffff.free",
        "new.tmp",
    ):
        copy = disk.snapshot()
        copy.live[name] = Inode(content)
        journal = opened(copy)
        got = {entry.position: entry for entry in read_all(journal)}
        assert got == {p: everything[p] for p in got}
        run(extend(journal))
        assert opened(copy.power_cut("none", random.Random(1))).next > 0


def test_i6_a_newer_format_is_refused_and_untouched(small):
    disk, _, _ = small
    for name in segments(disk):
        copy = disk.snapshot()
        head = bytearray(copy.live[name].live[:HEADER_BYTES])
        head[8] = 9
        head[-4:] = zlib.crc32(head[:-4]).to_bytes(4, "little")
        copy.live[name].live[:HEADER_BYTES] = head
        before = {n: bytes(inode.live) for n, inode in copy.live.items()}
        with pytest.raises(FutureFormat, match="format 9"):
            opened(copy)
        assert not copy.locked
        assert {n: bytes(inode.live) for n, inode in copy.live.items()} == before


def test_i6_a_newer_format_of_another_journal_is_set_aside(small):
    disk, _, _ = small
    copy = disk.snapshot()
    head = bytearray(copy.live[segments(disk)[0]].live[:HEADER_BYTES])
    head[8], head[12:28] = 9, b"another journal!"
    head[-4:] = zlib.crc32(head[:-4]).to_bytes(4, "little")
    copy.create("stray.seg").write(bytes(head), offset=0)
    log = opened(copy)
    assert "stray.seg" not in copy.names()
    assert log.next == opened(disk.snapshot()).next


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_i6_what_may_not_be_looked_at_is_not_taken_for_damaged(small, code):
    disk, _, _ = small
    for name in segments(disk):
        copy = disk.snapshot()
        copy.fault = lambda op, path, name=name: code if (op, path) == ("read", name) else 0
        before = {n: bytes(inode.live) for n, inode in copy.live.items()}
        with pytest.raises(OSError, match=re.escape(os.strerror(code))):
            opened(copy)
        assert not copy.locked
        assert {n: bytes(inode.live) for n, inode in copy.live.items()} == before
        copy.fault = None
        assert opened(copy).next == opened(disk.snapshot()).next


def test_i4_a_damaged_base_takes_the_marks_from_the_segment_before(small):
    disk, history, _ = small
    last = segments(disk)[-1]
    base = next(at for role, _, at, _ in records(disk, last) if role == BASE)
    copy = damaged_copy(disk, last, HEADER_BYTES, bytes(base - HEADER_BYTES + 8))
    journal = opened(copy)
    assert set(journal.marks) == set(history.promise.marks)
    for name, data in journal.marks.items():
        assert data in history.marked[name]


def test_i4_a_damaged_mark_of_the_base_comes_from_the_segment_before(small):
    disk, history, _ = small
    last = segments(disk)[-1]
    found = records(disk, last)
    base = next(at for role, _, at, _ in found if role == BASE)
    heads = [at for role, _, at, _ in found if role == MARK and at < base]
    assert heads
    for at in heads:
        assert opened(damaged_copy(disk, last, at + 26, b"\xee")).marks == history.promise.marks


def test_i5_the_end_record_of_a_commit_tells_of_its_lost_last_entry():
    disk = fresh(1)[0]
    journal = opened(disk)
    for _ in range(3):
        journal.append(1, b"payload")
    run(journal.close())
    at = [at for role, _, at, _ in records(disk, segments(disk)[0]) if role == ENTRY][-1]
    damaged = opened(damaged_copy(disk, segments(disk)[0], at + 24, b"P"))
    assert damaged.next == 3
    assert [(d.first, d.last) for d in damaged.damages] == [(2, 2)]


def test_i4_a_lost_tail_behind_a_surviving_mark_is_not_given_anew(small):
    """The commit's note says how far it went: a damaged last entry is told, and its position not reused."""
    disk, _, everything = small
    last = segments(disk)[-1]
    position, at = [(p, at) for role, p, at, _ in records(disk, last) if role == ENTRY][-1]
    assert [role for role, *_ in records(disk, last)][-1] == COMMIT
    journal = opened(damaged_copy(disk, last, at + 8, b"\xff\xff"))
    assert journal.next == position + 1
    assert [(d.first, d.last) for d in journal.damages] == [(position, position)]
    assert max(everything) == position
