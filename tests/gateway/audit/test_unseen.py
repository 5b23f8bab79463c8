"""`journal verify` and `export` never call whole what they did not see: it is counted, said, and exit 1 or 65."""

import asyncio
import json

import msgspec
import pytest
from audit_desk import METER, RECORDS, T0_MS, Desk, raw, window
from cli_desk import in_form, said
from ram_journal import RamJournal

from gateway.archive import look
from gateway.audit import Row
from gateway.audit.expected import Expected, Shelf
from gateway.audit.verify import Audit
from gateway.booking import Booking
from gateway.clock import rfc3339
from gateway.codec import DEAD, RAW, REQUEUED, Codec
from gateway.columns import Columns
from gateway.config import Sink
from gateway.journal.log import Limits, open_journal
from gateway.journal.segment import ENTRY, HEADER_BYTES, parse_header
from gateway.ledger import Ledger
from gateway.schemas import codec_of
from gateway.selection import Selection

COUNT = 4000
STEP = 10  # seconds from record to record
STEP_MS = 1000 * STEP
EVERYTHING = Selection(Sink(kind="file", streams=("raw",)), personal=frozenset())


def told(capsys, desk, *more):
    shown = said(capsys, "journal", "verify", "db", *more, "--json", "--config", desk.config)
    in_form(shown.out, ["journal", "verify"])
    lines = [json.loads(line) for line in shown.out.splitlines()]
    total = next((one for one in lines if "sound" in one), None)
    fault = next((one["fault"] for one in lines if "fault" in one), None)
    return shown.code, total, fault


@pytest.fixture
def desk(tmp_path):
    text = f'[sink.db]\nkind = "file"\npath = "{tmp_path}/out"\nstreams = ["raw", "1m", "event"]\n'
    return Desk(tmp_path, text)


def damage(folder, *, behind):
    """One byte of every entry from position `behind` on; how many these were."""
    (path,) = folder.glob("*.seg")
    data, count = bytearray(path.read_bytes()), 0
    segment = parse_header(path.name, bytes(data[:HEADER_BYTES]))
    for found in segment.scan(bytes(data[HEADER_BYTES:]), base=HEADER_BYTES, whole=True):
        if found.role == ENTRY and found.position >= behind:
            data[found.offset + 30] ^= 1
            count += 1
    path.write_bytes(data)
    return count


def test_damaged_records_are_counted_and_never_sound(desk, capsys):
    desk.deliver(RECORDS[:10])  # the file has lost just what cannot be read any more
    desk.journal(RECORDS)
    lost = damage(desk.folder / "state/journal", behind=10)
    code, total, fault = told(capsys, desk)
    assert lost == len(RECORDS) - 10
    assert (code, total["sound"], total["damaged"], total["missing"]) == (1, False, lost, 0)
    assert (fault["code"], f"{lost} positions" in fault["fact"]) == ("CG-AUD-07", True)
    shown = said(capsys, "journal", "export", "--config", desk.config)
    assert (shown.code, len(shown.out.splitlines())) == (65, 10)
    assert "CG-AUD-08" in shown.err
    assert f"{lost} positions" in shown.err


def test_before_the_sink_was_there_damage_is_none_of_its_business(desk, capsys):
    desk.deliver(RECORDS)
    desk.journal(RECORDS, since=len(RECORDS) - 3)
    folder = desk.folder / "state/journal"
    (path,) = folder.glob("*.seg")
    before = path.read_bytes()
    damage(folder, behind=0)
    assert told(capsys, desk)[1]["damaged"] == 3
    path.write_bytes(before)
    assert told(capsys, desk)[0] == 0


def test_of_an_earlier_selection_nothing_is_claimed(desk, capsys):
    few = [record for record in RECORDS if record.stream != "raw"]
    desk.deliver(few)
    desk.journal(RECORDS, chosen_from=len(RECORDS))
    code, total, fault = told(capsys, desk)
    assert (code, total["sound"], total["missing"]) == (1, False, 0)
    assert total["reselected"] == len(RECORDS)
    assert "earlier selection" in fault["fact"]


def test_a_config_that_no_daemon_has_run_yet_decides_nothing(desk, capsys):
    desk.deliver(RECORDS[:-1])
    desk.journal(RECORDS, chosen="0badcafe")
    code, total, _ = told(capsys, desk)
    assert (code, total["expected"], total["reselected"]) == (1, 0, len(RECORDS))


def test_records_without_a_description_are_not_sound(desk, capsys):
    desk.deliver(RECORDS)

    async def work():
        journal = open_journal(desk.folder / "state/journal")
        codec = Codec({})
        codec.schema_marks(METER)  # known to nobody but this codec
        for record in RECORDS[:5]:
            journal.append(*codec.encode(record))
        journal.mark("sink:db", Ledger(low=5, selected=5).to_bytes())
        await journal.commit()
        await journal.close()

    asyncio.run(work())
    code, total, _ = told(capsys, desk)
    assert (code, total["unreadable"], total["sound"]) == (1, 5, False)


def test_positions_that_only_the_ledger_knows_are_missing(desk, capsys):
    desk.deliver(RECORDS)
    desk.journal(RECORDS, upto=len(RECORDS) + 7)
    code, total, _ = told(capsys, desk)
    assert (code, total["damaged"]) == (1, 7)


def test_where_even_the_account_is_gone_it_is_not_sound(desk, capsys):
    desk.deliver(RECORDS)
    desk.journal(RECORDS)
    (path,) = (desk.folder / "state/journal").glob("*.seg")
    path.write_bytes(b"\xff" * 50_000)
    code, total, fault = told(capsys, desk)
    assert (code, total, fault["code"]) == (1, None, "CG-JRN-03")


# --- a journal of many segments, with the time of each


class Peer:
    """Holds the newest records alone."""

    overwrites, tolerance = True, 0.0

    def __init__(self, *, from_n=0):
        self.from_ms = T0_MS + from_n * STEP_MS

    def expected(self, record):
        return Row(record.t_ms, record.rev, {"v": record.body.values[0]})

    def rows(self, key, *, first_ms, end_ms):
        for n in range(COUNT):
            t_ms = T0_MS + n * STEP_MS
            if max(first_ms, self.from_ms) <= t_ms < end_ms:
                yield Row(t_ms, 0, {"v": 230.1 + n * STEP})


async def long_journal(folder, *, cap_bytes=1 << 30):
    """A raw record every ten seconds and a window after a hundred of them; all of it delivered."""
    clock = [T0_MS]
    limits = Limits(segment_bytes=1 << 15, recent_bytes=0)
    journal = open_journal(folder, sealer=Columns(), limits=limits, cap_bytes=cap_bytes, stamp=lambda: clock[0])
    codec = Codec(journal.marks)
    journal.mark(*codec.schema_marks(METER))
    for n in range(COUNT):
        clock[0] = T0_MS + n * STEP_MS
        journal.append(*codec.encode(raw(n * STEP)))
        if n % 100 == 0:
            journal.append(*codec.encode(window(n // 100)))
            ledger = Ledger(low=journal.next, selected=journal.next)
            journal.mark("sink:db", ledger.to_bytes())
            await journal.commit()
    journal.mark("sink:db", Ledger(low=journal.next, selected=journal.next).to_bytes())
    await journal.commit()
    return journal


def audited(shelf, *, peer, first_ms=0):
    expected = Expected(shelf, "db", shelf.ledgers()["db"], EVERYTHING, first_ms)
    audit = Audit(peer, tell=lambda _finding: None, within_ms=(first_ms, 1 << 62))
    verdict = audit.run(expected.records())
    return expected, sum(tally.expected for tally in verdict.tallies.values()), verdict


def test_what_is_sealed_while_it_is_audited_is_compared_all_the_same(tmp_path):
    async def scenario():
        journal = await long_journal(tmp_path)
        view = look(tmp_path)
        shelf = Shelf(view, codec_of(view))
        for _ in range(3):
            assert await journal.seal()
        journal.mark("x", b"a commit, with which the old files go")
        await journal.commit()
        expected, count, verdict = audited(shelf, peer=Peer(from_n=1500))
        assert (count, sum(tally.missing for tally in verdict.tallies.values())) == (COUNT, 1500)
        assert not any(expected.unseen.values())
        await journal.close()

    asyncio.run(scenario())


def test_what_is_let_go_of_while_it_is_audited_is_counted(tmp_path):
    async def scenario():
        journal = await long_journal(tmp_path)
        view = look(tmp_path)
        shelf = Shelf(view, codec_of(view))
        journal.drop_oldest()
        journal.mark("x", b"a commit, with which the old files go")
        await journal.commit()
        expected, count, _ = audited(shelf, peer=Peer())
        assert expected.unseen["let_go"] == journal.first > 100
        assert 0 < count < COUNT
        await journal.close()

    asyncio.run(scenario())


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """A file sink that took all of a long journal."""
    folder = tmp_path_factory.mktemp("long")
    desk = Desk(folder, f'[sink.db]\nkind = "file"\npath = "{folder}/out"\nstreams = ["raw", "1m"]\n')
    desk.deliver([raw(n * STEP) for n in range(COUNT)] + [window(n) for n in range(COUNT // 100)])
    return desk


def test_what_left_the_journal_before_is_said_and_sound_unless_it_is_asked_for(long, capsys):
    async def scenario():
        journal = await long_journal(long.folder / "state/journal")
        journal.drop_oldest()
        journal.drop_oldest()
        await journal.close()
        return journal.first

    first = asyncio.run(scenario())
    try:
        code, total, _ = told(capsys, long)
        assert (code, total["before"], total["let_go"]) == (0, first, 0)
        assert f"{first} positions" in said(capsys, "journal", "verify", "--config", long.config).err
        code, total, _ = told(capsys, long, "--from", "2026-01-01")
        assert (code, total["let_go"], total["sound"]) == (1, first, False)
        later = rfc3339(T0_MS + 3_600_000 + (first + 100) * STEP_MS)  # an hour: the clock may have been ahead
        assert told(capsys, long, "--from", later)[0] == 0
    finally:
        clean(long)


def test_what_a_full_journal_thinned_is_counted_and_a_whole_range_named(long, capsys):
    async def scenario():
        journal = await long_journal(long.folder / "state/journal")
        gone = sum(len(journal.thin(1, lambda entry: entry.kind != RAW) or ()) for _ in range(2))
        journal.mark("x", b"a commit, with which the old files go")
        await journal.commit()
        await journal.close()
        return gone

    gone = asyncio.run(scenario())
    try:
        code, total, fault = told(capsys, long)
        assert gone > 500
        assert (code, total["let_go"], total["damaged"]) == (1, gone, 0)
        assert fault["do"].startswith("citygate journal verify db --from 2026-11-21T0")
        code, total, fault = told(capsys, long, *fault["do"].split()[4:])
        assert (code, total["sound"], fault) == (0, True, None)
        assert total["expected"] > 10
        assert said(capsys, "journal", "export", "--config", long.config).code == 0
    finally:
        clean(long)


def clean(desk):
    for path in (desk.folder / "state/journal").iterdir():
        path.unlink()


def test_the_ledger_notes_from_where_the_present_selection_decides():
    journal, codec = RamJournal(), Codec({})
    codec.schema_marks(METER)
    for record in RECORDS:
        journal.append(*codec.encode(record))
    ledger = Ledger(low=9)
    for streams, position in (("raw",), len(RECORDS)), (("raw",), len(RECORDS)), (("raw", "event"), len(RECORDS) + 2):
        selection = Selection(Sink(kind="file", streams=streams), personal=frozenset())
        booking = Booking(ledger=ledger, selection=selection, journal=journal, codec=codec)
        booking.resume()
        assert ledger.chosen_from == position
        journal.append(*codec.encode(raw(99)))
        ledger = Ledger.from_bytes(booking.state_bytes())
        assert (ledger.chosen, ledger.chosen_from) == (selection.fingerprint, position)


# --- dead letters of a long journal


def test_letters_are_found_without_unsealing_what_holds_none(tmp_path, monkeypatch):
    async def scenario():
        journal = await long_journal(tmp_path)
        codec, letters = codec_of(journal), []
        codec.schema_marks(METER)
        for n in (0, 1):
            kind, payload = codec.encode(raw(n))
            letters.append(journal.append(DEAD, msgspec.msgpack.encode([1, "db", "HTTP 400", kind, payload])))
        for n in range(COUNT):
            journal.append(*codec.encode(raw(n)))
            if n % 100 == 0:
                await journal.commit()
        journal.append(REQUEUED, msgspec.msgpack.encode([1, letters[0]]))
        await journal.commit()
        while await journal.seal():
            pass
        journal.mark("x", b"a commit, with which the old files go")
        await journal.commit()
        await journal.close()
        return letters

    _gone, left = asyncio.run(scenario())
    view = look(tmp_path)
    sealed = sum(segment.level == 1 for segment in view.segments)
    unsealed, real = [], Columns.unseal
    monkeypatch.setattr(Columns, "unseal", lambda columns, blob: unsealed.append(1) or real(columns, blob))
    shelf = Shelf(view, codec_of(view))
    assert [letter.position for letter in shelf.letters()] == [left]
    assert 0 < len(unsealed) <= 2 < sealed
    assert [letter.position for letter in shelf.letters(start=left)] == [left]
    assert shelf.letters(start=left + 1) == []
    assert [entry.position for entry in shelf.entries()] == list(range(view.next))
