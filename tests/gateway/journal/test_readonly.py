"""A look beside the owner: what it seals meanwhile is found again; what is gone is never taken for read."""

import asyncio

import pytest
from crash.journal_model import Deflating

from gateway.journal.disk import RealDisk
from gateway.journal.log import Limits, open_journal
from gateway.journal.readonly import open_readonly

SMALL = Limits(segment_bytes=4096, recent_bytes=0)
COUNT = 900


def owner(folder):
    return open_journal(folder, sealer=Deflating(), limits=SMALL)


async def fill(journal, count=COUNT):
    for number in range(count):
        journal.append(1, b"%d" % number)
        if number % 20 == 0:
            await journal.commit()
    await journal.commit()


async def let_go(journal):
    """What waits to leave goes with a commit of something."""
    journal.append(1, b"more")
    await journal.commit()


def positions(journal, *, start=None, end=COUNT):
    at = journal.first if start is None else start
    while at < end and (entries := journal.read(at, limit_bytes=100)):
        yield from (entry.position for entry in entries if at <= entry.position < end)
        at = entries[-1].position + 1


def test_what_the_owner_seals_meanwhile_is_read_from_its_new_file(tmp_path):
    async def scenario():
        journal = owner(tmp_path)
        await fill(journal)
        beside = open_readonly(tmp_path, sealer=Deflating())
        reading = positions(beside)
        begun = [next(reading) for _ in range(3)]
        while await journal.seal():
            await let_go(journal)
        assert [*begun, *reading] == list(range(COUNT))
        assert beside.damages == ()
        assert (beside.first, beside.next) == (0, COUNT)
        await journal.close()

    asyncio.run(scenario())


def test_what_the_owner_lets_go_of_meanwhile_is_a_hole_and_the_rest_is_read(tmp_path):
    async def scenario():
        journal = owner(tmp_path)
        await fill(journal)
        beside = open_readonly(tmp_path, sealer=Deflating())
        journal.drop_oldest()
        journal.drop_oldest()
        await let_go(journal)
        assert journal.first > 100
        assert list(positions(beside, start=0)) == list(range(journal.first, COUNT))
        assert beside.first == journal.first
        await journal.close()

    asyncio.run(scenario())


def test_files_that_move_between_the_listing_and_the_reading_are_listed_again(tmp_path, monkeypatch):
    async def scenario():
        journal = owner(tmp_path)
        await fill(journal)
        real, moves = RealDisk.read, iter((True, True))

        def read(disk, name, **where):
            if where["offset"] == 0 and next(moves, False):  # only headers are read from there
                assert journal._shelf.seal_next()
                journal._store.release()
            return real(disk, name, **where)

        monkeypatch.setattr(RealDisk, "read", read)
        beside = open_readonly(tmp_path, sealer=Deflating())
        assert list(positions(beside)) == list(range(COUNT))
        assert (beside.first, beside.damages) == (0, ())
        await journal.close()

    asyncio.run(scenario())


def test_a_file_that_is_listed_and_never_there_is_refused_in_the_end(tmp_path, monkeypatch):
    asyncio.run(fill_and_close(tmp_path))
    real = RealDisk.names
    monkeypatch.setattr(RealDisk, "names", lambda disk: [*real(disk), "0000000000000fff.seg"])
    with pytest.raises(OSError, match="busy"):
        open_readonly(tmp_path, sealer=Deflating())


def test_a_segment_that_somebody_took_away_is_told(tmp_path):
    asyncio.run(fill_and_close(tmp_path))
    beside = open_readonly(tmp_path, sealer=Deflating())
    second = beside._store.segments[1]
    (tmp_path / second.name).unlink()
    found = set(positions(beside))
    lost = set(range(second.first, beside._store.segments[1].first))
    assert lost
    assert found == set(range(COUNT)) - lost
    assert {at for damage in beside.damages for at in range(damage.first, damage.last + 1)} == lost


async def fill_and_close(folder):
    journal = owner(folder)
    await fill(journal)
    await journal.close()
