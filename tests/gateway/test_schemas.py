"""Descriptions of series: few marks however often the config changes, and no record that nobody can read."""

import asyncio

import pytest
from crash.simulated_disk import Inline, SimDisk
from made_records import raw, series

from gateway.codec import RAW, Codec, UnknownSchema
from gateway.journal.log import Limits, open_journal
from gateway.journal.memory import marks_bytes
from gateway.schemas import MARKS_BYTES, Schemas, codec_of

LIMITS = Limits(segment_bytes=256 << 10, recent_bytes=0)


def start(disk, *, every_ms, cap_bytes=1 << 30):
    """A gateway with one meter: its journal, codec, descriptions and the meter's series."""
    journal = open_journal(disk, limits=LIMITS, cap_bytes=cap_bytes, executor=Inline())
    codec, meter = Codec(journal.marks), series(every_ms=every_ms)
    schemas = Schemas(journal=journal, codec=codec)
    schemas.fit([meter])
    return journal, codec, schemas, meter


async def life(disk, *, every_ms, seq, cap_bytes=1 << 30, entries=1):
    """One start with another config, some records, one stop."""
    journal, codec, schemas, meter = start(disk, every_ms=every_ms, cap_bytes=cap_bytes)
    for number in range(entries):
        journal.append(*codec.encode(raw(meter, 1000 * seq + number, seq)))
    for _ in range(2):
        schemas.prune()
        while journal.full and journal.drop_oldest():
            pass
        await journal.commit()
    held = marks_bytes(journal.marks)
    await journal.close()
    return held


def everything(disk):
    journal = open_journal(disk.snapshot(), limits=LIMITS, executor=Inline())
    codec, found, at = codec_of(journal), [], journal.first
    while entries := journal.read(at, limit_bytes=1 << 16):
        found += [codec.decode(entry.kind, entry.payload) for entry in entries if entry.kind == RAW]
        at = entries[-1].position + 1
    return found


@pytest.mark.parametrize("configs", [400, pytest.param(5000, marks=pytest.mark.soak)])
def test_thousands_of_configs_leave_few_marks_and_every_record_readable(configs):
    disk = SimDisk()

    async def all_of_it():
        return max([await life(disk, every_ms=1000 + n, seq=n + 1) for n in range(configs)])

    most_bytes = asyncio.run(all_of_it())
    assert most_bytes < 2 * MARKS_BYTES
    found = everything(disk)
    assert [record.body.series.every_ms for record in found] == [1000 + n for n in range(configs)]


def test_a_description_goes_when_the_last_segment_that_needs_it_has_gone():
    disk, cap_bytes = SimDisk(), 3 * LIMITS.segment_bytes

    async def all_of_it():
        return [
            await life(disk, every_ms=1000 + n % 40, seq=n + 1, cap_bytes=cap_bytes, entries=800) for n in range(80)
        ]

    held = asyncio.run(all_of_it())
    found = everything(disk)
    assert found  # every one of them decodes
    assert found[0].seq > 40
    assert max(held[40:]) < MARKS_BYTES // 2


def test_what_is_written_again_of_an_old_series_stays_readable():
    disk = SimDisk()

    async def all_of_it():
        await life(disk, every_ms=1, seq=1)
        journal, codec, schemas, _ = start(disk, every_ms=2)
        old = codec.decode(*next((e.kind, e.payload) for e in journal.read(0, limit_bytes=1)))
        position = journal.append(*codec.encode(old))
        schemas.prune()
        assert set(schemas._retired.values()) == {position + 1}
        await journal.commit()
        await journal.close()

    asyncio.run(all_of_it())
    assert [record.body.series.every_ms for record in everything(disk)] == [1, 1]


def test_an_unknown_number_is_said_so():
    _, codec, _, _ = start(SimDisk(), every_ms=1)
    other = Codec({})
    other.schema_marks(meter := series(every_ms=9))
    with pytest.raises(UnknownSchema):
        codec.decode(*other.encode(raw(meter, 1)))
