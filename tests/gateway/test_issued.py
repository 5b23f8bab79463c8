"""What was issued is known exactly, and asking for it looks at the minutes in question only."""

import asyncio

import hypothesis.strategies as st
from hypothesis import given, settings
from made_records import event, raw, series, window
from ram_journal import RamJournal

from gateway.codec import DEAD, Codec
from gateway.columns import Columns
from gateway.issued import AHEAD_MS, BEFORE_MS, SPANS, Issued
from gateway.journal.log import Limits, open_journal

T0 = 1_795_000_000_000
METER, AIR = series("meter"), series("air-north", ("pm2_5", "pm10"))
NEAR = st.integers(0, 40).map(lambda n: T0 + n * (AHEAD_MS // 7))  # collisions, and spans beside one another
WHAT = st.sampled_from(("meter", "air", "window", "event"))


def made(what, t_ms):
    if what == "event":
        return event(t_ms)
    return window(METER, t_ms) if what == "window" else raw(METER if what == "meter" else AIR, t_ms)


def codec():
    found = Codec({})
    for one in (METER, AIR):
        found.schema_marks(one)
    return found


@given(st.lists(st.tuples(WHAT, NEAR, st.booleans()), max_size=60))
@settings(max_examples=150)
def test_it_knows_what_the_journal_holds_and_what_came_since(steps):
    """Records come while times are asked for, in any order; the answer is that of a plain set."""
    journal, coder, known = RamJournal(), codec(), set()
    issued = Issued(journal, coder)
    for what, t_ms, asked in steps:
        record = made(what, t_ms)
        key = record.device, record.stream
        if asked:
            assert issued.has(key, t_ms) == ((key, t_ms) in known)
            continue
        journal.append(*coder.encode(record))
        issued.add(record)
        known.add((key, t_ms))
    journal.append(DEAD, b"no record")
    for key, t_ms in known:
        assert issued.has(key, t_ms)
        assert not issued.has(key, t_ms + 1)
    assert len(issued._spans) <= SPANS


def test_only_the_minutes_in_question_are_read_and_decoded(tmp_path):
    """A day of a sealed journal: blocks of other times are not opened, and a raw record is known by its head."""
    asyncio.run(_a_day(tmp_path))


async def _a_day(folder):
    journal, coder = open_journal(folder, limits=Limits(segment_bytes=1 << 19), sealer=Columns()), codec()
    journal.mark(*coder.schema_marks(METER))
    count = 86_400 // 2
    for n in range(count):
        journal.append(*coder.encode(raw(METER, T0 + 2000 * n, n + 1)))
        if n % 5000 == 4999:
            await journal.commit()
    await journal.commit()
    while await journal.seal():
        pass
    seen = {"entries": 0, "decoded": 0}
    read, decode = journal.read, coder.decode

    def counted(*argv, **options):
        found = read(*argv, **options)
        seen["entries"] += len(found)
        return found

    def decoded(kind, payload):
        seen["decoded"] += 1
        return decode(kind, payload)

    journal.read, coder.decode = counted, decoded
    issued = Issued(journal, coder)
    at = T0 + 2000 * (count // 4)
    for n in range((AHEAD_MS - BEFORE_MS) // 2000):
        assert issued.has(("meter", "raw"), at + 2000 * n)
        assert not issued.has(("meter", "raw"), at + 2000 * n + 1)
    assert seen["decoded"] == 1
    assert seen["entries"] < count / 2, "the tail that is not sealed yet, and the blocks of these minutes"
    del journal.read
    await journal.close()
