"""The log over a real folder: reading, marks, preambles, recycling, cancellation, the golden file."""

import asyncio
import shutil
import threading
from pathlib import Path

import pytest

from gateway.journal import Journal
from gateway.journal.errors import CommitFailed, TooLarge
from gateway.journal.log import Limits, Log, open_journal

GOLDEN = Path(__file__).parent / "golden"
SMALL = Limits(segment_bytes=4096, recent_bytes=200, definition_kinds=frozenset({7}))
KIND = 9


def opened(folder, **options):
    options = {"cap_bytes": 16 * 4096, "limits": SMALL, "preamble": lambda: [(KIND, b"series")], **options}
    return open_journal(folder, **options)


def test_a_log_is_a_journal():
    journal: type[Journal] = Log
    assert journal is Log


async def filled(folder, *, count=300, **options):
    journal = opened(folder, **options)
    for number in range(count):
        journal.append(1, b"entry %d" % number + bytes(40))
        journal.mark("cursor", b"%d" % number)
        if number % 5 == 4:
            await journal.commit()
    await journal.commit()
    return journal


async def _read_everything(folder, limit_bytes):
    journal = await filled(folder)
    out, position = [], 0
    while entries := journal.read(position, limit_bytes=limit_bytes):
        assert entries[-1].kind != KIND, "a preamble alone would hide the entry behind it"
        out += entries
        position = entries[-1].position + 1
    assert [e.position for e in out if e.kind == 1] == list(range(300))
    assert [e.payload[:-40] for e in out if e.kind == 1] == [b"entry %d" % n for n in range(300)]
    await journal.close()


@pytest.mark.parametrize("limit_bytes", [0, 1, 100, 5000, 1 << 20])
def test_i1_reading_in_chunks_gives_everything_once(tmp_path, limit_bytes):
    asyncio.run(_read_everything(tmp_path, limit_bytes))


def test_each_segment_can_be_read_by_itself(tmp_path):
    async def scenario():
        journal = await filled(tmp_path)
        everything = journal.read(0, limit_bytes=1 << 20)
        heads = [e for e in everything if e.kind == KIND]
        assert len(heads) > 3
        for head in heads:
            at = everything.index(head)
            assert everything[at + 1].position == head.position
            assert journal.read(head.position, limit_bytes=1)[0] == head
            assert journal.read(head.position, limit_bytes=1)[0] == head  # also from memory of offsets
            assert journal.context(head.position + 1) == [head]
        await journal.close()

    asyncio.run(scenario())


def test_context_has_the_definitions_of_the_segment_so_far(tmp_path):
    async def scenario():
        journal = opened(tmp_path)
        journal.append(1, b"reading")
        journal.append(7, b"a new series")
        last = journal.append(1, b"reading of it")
        journal.append(7, b"later")
        await journal.commit()
        assert [e.payload for e in journal.context(last)] == [b"series", b"a new series"]
        await journal.close()

    asyncio.run(scenario())


def test_i2_reopened_it_goes_on_where_it_stood(tmp_path):
    async def scenario():
        journal = await filled(tmp_path)
        before = journal.read(0, limit_bytes=1 << 20)
        await journal.close()
        again = opened(tmp_path)
        assert (again.first, again.next, again.committed) == (0, 300, 300)
        assert again.marks == {"cursor": b"299"}
        assert again.damages == ()
        assert again.read(0, limit_bytes=1 << 20) == before
        assert again.append(1, b"next") == 300
        await again.close()

    asyncio.run(scenario())


def test_marks_change_with_the_commit_and_go_when_empty(tmp_path):
    async def scenario():
        journal = opened(tmp_path)
        journal.mark("a", b"1")
        journal.mark("b", b"2")
        assert journal.marks == {}
        await journal.commit()
        assert journal.marks == {"a": b"1", "b": b"2"}
        journal.mark("a", b"")
        await journal.close()
        again = opened(tmp_path)
        assert again.marks == {"b": b"2"}
        await again.close()

    asyncio.run(scenario())


def test_i7_segments_are_recycled(tmp_path):
    async def scenario():
        clock = iter(range(1000, 2000))
        journal = opened(tmp_path, cap_bytes=4 * 4096, stamp=lambda: next(clock))
        inodes = set()
        for number in range(2000):
            journal.append(1, b"entry %d" % number + bytes(80))
            if number % 5 == 4:
                facts = journal.oldest_segment()
                if journal.full:
                    assert facts.created < facts.ended
                    dropped = journal.drop_oldest()
                    assert [e.position for e in dropped if e.kind == 1] == list(range(facts.first, facts.last + 1))
                    assert journal.first == facts.last + 1
                await journal.commit()
                inodes |= {path.stat().st_ino for path in tmp_path.glob("*.seg")}
        assert len(inodes) <= 5
        assert sum(path.stat().st_size for path in tmp_path.iterdir() if path.is_file()) <= 5 * 4096 + 100
        assert journal.read(0, limit_bytes=1)[-1].position == journal.first
        await journal.close()
        again = opened(tmp_path, cap_bytes=4 * 4096)
        assert [e.position for e in again.read(0, limit_bytes=1 << 20) if e.kind == 1] == list(range(again.first, 2000))
        assert again.damages == ()
        await again.close()

    asyncio.run(scenario())


def test_a_batch_larger_than_a_segment_is_split(tmp_path):
    async def scenario():
        journal = opened(tmp_path, limits=Limits(segment_bytes=4096, tail_bytes=40_000, recent_bytes=0))
        for number in range(100):
            journal.append(1, bytes([number]) * 300)
        journal.mark("cursor", b"100")
        await journal.commit()
        assert journal.committed == 100
        assert [e.payload[0] for e in journal.read(0, limit_bytes=1 << 20) if e.kind == 1] == list(range(100))
        await journal.close()

    asyncio.run(scenario())


def test_a_preamble_too_large_is_an_error_of_its_maker(tmp_path):
    async def scenario():
        journal = opened(tmp_path, preamble=lambda: [(KIND, bytes(3000))])
        journal.append(1, b"x")
        with pytest.raises(TooLarge, match="preamble"):
            await journal.commit()
        assert journal.read(0, limit_bytes=1)[0].payload == b"x"
        with pytest.raises(TooLarge):
            await journal.close()

    asyncio.run(scenario())


def test_a_cancelled_commit_goes_on_and_the_next_one_waits(tmp_path):
    async def scenario():
        journal = opened(tmp_path)
        await journal.commit()
        gate = threading.Event()
        journal._executor.submit(gate.wait)
        journal.append(1, b"x")
        first = asyncio.create_task(journal.commit())
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        journal.append(1, b"y")
        second = asyncio.create_task(journal.commit())
        gate.set()
        await second
        assert journal.committed == 2
        assert [e.payload for e in journal.read(0, limit_bytes=100) if e.kind == 1] == [b"x", b"y"]
        await journal.close()

    asyncio.run(scenario())


def test_the_event_loop_runs_while_the_disk_is_slow(tmp_path):
    async def scenario():
        journal = opened(tmp_path)
        gate = threading.Event()
        journal._executor.submit(gate.wait)
        position = journal.append(1, b"x")
        commit = asyncio.create_task(journal.commit())
        for _ in range(100):
            await asyncio.sleep(0)
            journal.append(1, b"more")
        assert not commit.done()
        assert journal.read(position, limit_bytes=1)[0].payload == b"x"
        gate.set()
        await commit
        await journal.close()

    asyncio.run(scenario())


def test_readers_in_threads_see_only_what_is_true(tmp_path):
    """A reader in a thread, while segments are written, dropped and recycled under it."""

    async def scenario():
        journal = opened(tmp_path, cap_bytes=4 * 4096)
        wrong = []
        stop = threading.Event()

        def reader():
            position = 0
            while not stop.is_set():
                for entry in journal.read(position, limit_bytes=3000):
                    if entry.kind == 1 and not entry.payload.startswith(b"entry %d " % entry.position):
                        wrong.append(entry)
                    position = entry.position + 1
                if position >= journal.next:
                    position = journal.first

        threads = [threading.Thread(target=reader) for _ in range(2)]
        for thread in threads:
            thread.start()
        for number in range(600):
            journal.append(1, b"entry %d " % number + bytes(80))
            if number % 5 == 4:
                while journal.full and journal.drop_oldest():
                    pass
                await journal.commit()
        stop.set()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert journal.damages == ()
        await journal.close()

    asyncio.run(scenario())


def test_a_stray_folder_in_the_way_of_the_identity_stops_nothing(tmp_path):
    (tmp_path / "identity.tmp").mkdir()

    async def scenario():
        journal = await filled(tmp_path)
        assert journal.committed == journal.next
        await journal.close()

    asyncio.run(scenario())
    assert len([name for name in tmp_path.iterdir() if name.suffix == ".seg"]) > 1


def test_close_gives_the_folder_back_though_the_commit_fails(tmp_path):
    async def scenario():
        journal = opened(tmp_path / "journal")
        journal.append(1, b"x")
        shutil.rmtree(tmp_path / "journal")
        with pytest.raises(CommitFailed) as caught:
            await journal.close()
        assert caught.value.waiting == 1
        assert isinstance(caught.value.causes[0], FileNotFoundError)
        await opened(tmp_path / "journal").close()

    asyncio.run(scenario())


@pytest.mark.parametrize("name", ["crc32c", "crc32"])
def test_format_1_is_read_for_ever(tmp_path, name):
    """Written by the first version (see golden/README.md); never written anew."""
    shutil.copytree(GOLDEN / f"format-1-{name}", tmp_path / "journal")

    async def scenario():
        journal = opened(tmp_path / "journal")
        assert journal.damages == ()
        assert (journal.first, journal.next) == (0, 60)
        assert journal.marks == {"sink:city": b"cursor 60", "numbers": b"\x00\xff"}
        entries = [e for e in journal.read(0, limit_bytes=1 << 20) if e.kind != KIND]
        assert [(e.position, e.kind, e.payload) for e in entries] == [
            (n, n % 3 + 1, b"golden entry %d " % n * 5) for n in range(60)
        ]
        assert journal.context(59)[0].payload == b"series"
        assert journal.append(1, b"goes on") == 60
        await journal.close()

    asyncio.run(scenario())
