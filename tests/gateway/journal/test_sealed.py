"""I9: sealing changes no entry; thinning lets go of what it says; time ranges skip blocks; a look changes nothing."""

import asyncio
import errno
import hashlib
import os
import random
import shutil
import struct
from dataclasses import astuple
from pathlib import Path

import pytest
from crash.journal_model import CAP, SMALL, Deflating, fresh, opened, read_all, run, workload

from gateway.columns import Columns
from gateway.journal import Entry
from gateway.journal.errors import CommitFailed
from gateway.journal.log import Limits, open_journal
from gateway.journal.readonly import open_readonly
from gateway.journal.segment import is_segment

GOLDEN = Path(__file__).parent / "golden"
FORMAT_2 = "0d51b332df74e68c666c85ee92e3a0063e1ed23a3b871bc69bf7458ac3aa16e5"
# SHA-256 of position u64, kind u16, size u32 and payload of each entry, as they were appended
OLD = Limits(segment_bytes=3000, recent_bytes=0)


def filled(seed=1, steps=60, cap_bytes=CAP):
    disk, history, rng = fresh(seed)
    journal = opened(disk, cap_bytes=cap_bytes)
    run(workload(journal, history, rng, steps=steps, sealing=False))
    run(journal.commit())
    return disk, journal


def seal_all(journal):
    count = 0
    while journal._shelf.seal_next():
        count += 1
    run(journal.commit())
    return count


def levels(journal):
    return [segment.level for segment in journal._store.segments]


def test_i9_what_is_sealed_reads_as_before_at_any_place_and_step():
    disk, journal = filled()
    before = read_all(journal)
    size_bytes = journal.size_bytes
    journal.append(1, b"so that a commit is due")
    assert seal_all(journal) > 3
    assert levels(journal)[:-1] == [1] * (len(levels(journal)) - 1)
    assert journal.size_bytes < size_bytes
    for opening in (journal, opened(disk.snapshot())):
        whole = read_all(opening)
        assert whole[: len(before)] == before
        rng = random.Random(2)
        for _ in range(60):
            start = rng.randrange(journal.first, journal.next)
            assert read_all(opening, start=start, limit_bytes=rng.choice((1, 90, 700))) == [
                entry for entry in whole if entry.position >= start
            ]
        assert opening.damages == ()


def test_i9_the_old_file_is_recycled_after_the_next_commit():
    disk, journal = filled()
    name = journal._store.segments[0].name
    assert journal._shelf.seal_next()
    assert {name, name.replace(".seg", ".sl1")} <= set(disk.live)
    journal.append(1, b"x")
    run(journal.commit())
    assert name not in disk.live
    assert name.replace(".seg", ".free") in disk.live


def test_i9_of_two_forms_the_older_counts_until_the_commit():
    disk, journal = filled()
    before = read_all(journal)
    gone = journal.thin(2, lambda entry: entry.kind - 1)
    assert gone
    assert {entry.position for entry in gone}.isdisjoint(entry.position for entry in read_all(journal))
    again = opened(disk.kill())
    assert read_all(again) == before
    assert again.reverted
    journal.append(1, b"the report of the loss")
    run(journal.commit())
    again = opened(disk.kill())
    assert not again.reverted
    kept = read_all(again)
    assert kept == [entry for entry in before if entry not in gone] + kept[-1:]
    assert again.damages == ()


def test_thinning_goes_by_importance_and_then_by_age():
    _, journal = filled()

    def importance(entry):
        return entry.kind - 1

    went = []
    for level in (1, 2):
        while (gone := journal.thin(level, importance)) is not None:
            assert {entry.kind for entry in gone} <= set(range(level + 1))
            went += [entry.position for entry in gone if entry.kind == level]
            journal.append(3, b"x")
            run(journal.commit())
        assert went == sorted(went)
        went.clear()
    closed = journal._store.segments[-1].first
    assert {entry.kind for entry in read_all(journal) if entry.position < closed} == {3}


def test_a_segment_with_damage_is_left_as_it_is():
    disk, journal = filled()
    first = journal._store.segments[0].name
    disk.live[first].live[300] ^= 0xFF
    before = read_all(journal)
    journal.append(1, b"x")
    seal_all(journal)
    assert levels(journal)[0] == 0
    assert set(levels(journal)[1:-1]) == {1}
    assert read_all(journal)[: len(before)] == before


def test_a_sealer_that_gives_back_other_bytes_seals_nothing():
    class Wrong(Deflating):
        def unseal(self, blob):
            return [(kind, payload + b"!") for kind, payload in super().unseal(blob)]

    disk, _ = filled()
    journal = open_journal(disk.kill(), cap_bytes=CAP, limits=SMALL, sealer=Wrong())
    before = read_all(journal)
    assert asyncio.run(journal.seal()) is False
    assert set(levels(journal)) == {0}
    assert read_all(journal) == before
    run(journal.close())


def test_a_range_leaves_out_blocks_of_other_times():
    class Timed(Deflating):
        def span(self, items):
            return int(items[0][1]), int(items[-1][1])

    stamps = iter(range(0, 10**9, 100))
    limits = Limits(segment_bytes=2048, recent_bytes=0)

    async def all_of_it(folder):
        journal = open_journal(folder, limits=limits, sealer=Timed(), stamp=lambda: next(stamps))
        for number in range(2000):
            journal.append(1, b"%06d" % number)
            if number % 50 == 0:
                await journal.commit()
        while await journal.seal():
            pass
        whole = read_all(journal)
        few, at = [], 0
        while entries := journal.read(at, limit_bytes=100, between=(700, 720)):
            few += entries
            at = entries[-1].position + 1
        wanted = [entry for entry in whole if 700 <= int(entry.payload) <= 720]
        assert [entry for entry in few if 700 <= int(entry.payload) <= 720] == wanted
        assert len(few) < 400
        seconds = [segment.created for segment in journal._store.segments]
        place = journal.seek(seconds[5] + 1)
        assert place == journal._store.segments[5].first
        assert journal.seek(0) == 0
        await journal.close()

    asyncio.run(all_of_it(fresh(1)[0]))


def test_a_look_beside_the_owner_sees_everything_and_changes_nothing(tmp_path):
    async def owner():
        journal = open_journal(tmp_path, limits=Limits(segment_bytes=4096), sealer=Deflating())
        for number in range(300):
            journal.append(1, b"payload of %d" % number)
            if number % 20 == 0:
                await journal.commit()
        journal.mark("cursor", b"7")
        await journal.commit()
        await journal.seal()
        before = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
        beside = open_readonly(tmp_path, sealer=Deflating())
        assert [entry.payload for entry in read_all(beside)] == [b"payload of %d" % n for n in range(300)]
        assert beside.marks == {"cursor": b"7"}
        await beside.close()
        beside.append(1, b"not allowed")
        with pytest.raises(CommitFailed, match="Read-only"):
            await open_and_append(tmp_path)
        assert {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)} == before
        journal.append(1, b"the owner goes on")
        await journal.commit()
        await journal.close()

    asyncio.run(owner())
    with pytest.raises(FileNotFoundError):
        open_readonly(tmp_path / "nowhere")
    assert any(is_segment(name) and name.endswith("1") for name in os.listdir(tmp_path))


async def open_and_append(folder):
    journal = open_readonly(folder, sealer=Deflating())
    journal.append(1, b"x")
    try:
        await journal.commit()
    finally:
        journal._executor.shutdown()


@pytest.mark.parametrize("name", ["crc32c", "crc32"])
def test_format_2_is_read_for_ever(tmp_path, name):
    """Sealed, thinned and plain segments as their first version wrote them (see golden/README.md)."""
    shutil.copytree(GOLDEN / f"format-2-{name}", tmp_path / "journal")

    async def scenario():
        journal = open_journal(tmp_path / "journal", cap_bytes=1 << 20, limits=OLD, sealer=Columns())
        assert levels(journal) == [2, 1, 1, 0]
        entries = read_all(journal)
        assert [e.position for e in entries if e.kind != 1] == [*range(9, 120, 10), 120]
        assert [e.position for e in entries if e.kind == 1][:2] == [33, 34]  # the oldest segment was thinned
        assert entries[-2:] == [Entry(120, 77, b"of no kind that is known"), Entry(121, 1, b"")]
        told = hashlib.sha256(b"".join(struct.pack("<QHI", p, k, len(b)) + b for p, k, b in map(astuple, entries)))
        assert told.hexdigest() == FORMAT_2
        assert journal.damages == ()
        assert (journal.first, journal.next, journal.marks["sink:city"]) == (0, 122, b"cursor 120")
        assert journal.append(1, b"goes on") == 122
        await journal.close()

    asyncio.run(scenario())


def test_i2_a_form_of_the_life_before_does_not_take_its_successor_with_it():
    """Killed between two forms, the journal is sealed again at once, to the same name: that file must stay."""
    disk, journal = filled()
    before = read_all(journal)
    assert journal._shelf.seal_next()
    for refuse in (False, True):
        again = opened(killed := disk.kill())
        killed.fault = lambda op, name, no=refuse: errno.EIO if no and op in {"remove", "rename"} else None
        again._shelf.seal_next()
        killed.fault = None
        again.append(1, b"x")
        run(again.commit())
        assert read_all(again)[: len(before)] == before
        assert read_all(opened(killed.kill()))[: len(before)] == before
