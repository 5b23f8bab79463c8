"""Every fault of the test kit leads to a code of its own with a `do`: on simulated wires, in virtual time."""

import asyncio
import shutil

import pytest
import virtual_time
from cli_desk import said, site
from scan_bench import NOON_S, SimTap, unit

from drivers.line import line
from drivers.modbus.envelope import build
from drivers.profile import load
from firmware_sims import faults as kit
from firmware_sims import quirks
from firmware_sims.faults import Fault, Faults
from firmware_sims.framing import RTU
from firmware_sims.lines import TcpUnits
from firmware_sims.single import DEVICES
from gateway.catalogue import entry
from gateway.cli.quality import missing, of_stream
from gateway.technician import neighbours
from gateway.technician.burst import burst, faults
from gateway.technician.values import causes, doubts

LINE = line("9600 8N1")
ASKED = build(3, "input", address=0, count=40)
OPTIONS = {"late": {"delay_s": 1.4}, "dribble": {"delay_s": 0.006}, "noise_between": {"delay_s": 0.15}}
BYTES = {
    "silence": "CG-BUS-05", "bad_checksum": "CG-LNK-02", "late": "CG-LNK-01", "half": "CG-LNK-03",
    "tail": "CG-LNK-04", "banner": "CG-LNK-05", "noise_before": "CG-LNK-06", "noise_between": "CG-LNK-07",
    "noise_after": "CG-LNK-08", "extra_byte": "CG-LNK-09", "dribble": "CG-LNK-10", "chunks": "CG-LNK-11",
    "echo": "CG-BUS-08", "exception": "CG-DEV-02", "wrong_unit": "CG-LNK-12", "wrong_function": "CG-LNK-13",
    "foreign": "CG-BUS-07", "duplicate": "CG-LNK-14", "missing": "CG-LNK-17",
    "wrong_transaction": "CG-LNK-15", "length_lie": "CG-LNK-16",
    "wrong_count": "CG-LNK-19", "burst": "CG-LNK-20", "scrambled": "CG-BUS-10", "garbage": "CG-LNK-21",
    "false_head": "CG-LNK-22", "idle": "CG-LNK-23",
}  # fmt: skip
VALUES = {
    "stuck": "CG-VAL-01", "zero": "CG-VAL-09", "jump": "CG-VAL-02", "restart": "CG-VAL-10", "absent": "CG-VAL-06",
    "rollover": "CG-VAL-11", "swapped": "CG-DEV-05", "shifted": "CG-DEV-06", "invalid": "CG-VAL-05",
}  # fmt: skip


class TcpSim:
    """A link to simulated units behind a Modbus TCP port, in virtual time."""

    endpoint = "sim:502"

    def __init__(self, slaves):
        self.units, self.inbox = TcpUnits(slaves).session(), asyncio.Queue(64)

    async def write(self, data):
        loop = asyncio.get_running_loop()
        for delay_s, answer in self.units.hear(data, NOON_S + loop.time()):
            loop.call_later(delay_s, self.inbox.put_nowait, answer)

    async def read(self, timeout_s):
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_s):
                return await self.inbox.get(), loop.time()
        except TimeoutError:
            return b"", loop.time()

    def flush(self):
        return b"".join(self.inbox.get_nowait() for _ in range(self.inbox.qsize()))


def burst_of(fault, *, framing="rtu", reads=12):
    found = Faults(dress=RTU, seed=5)
    if fault:
        found.switch_on(Fault(fault, **OPTIONS.get(fault, {})))
    slave = unit("eastron-sdm630", 3, faults=found)

    async def go():
        if framing == "tcp":
            return await burst(TcpSim({3: slave}), ASKED, framing="tcp", reads=reads)
        link = SimTap({3: slave}).link(LINE)
        await link.open()
        try:
            return await burst(link, ASKED, framing="rtu", reads=reads, char_s=LINE.char_s)
        finally:
            await link.close()

    return virtual_time.run(go())


@pytest.mark.parametrize("framing", ["rtu", "tcp"])
def test_a_link_without_fault_is_good(framing):
    found = burst_of("", framing=framing)
    assert (found.good, dict(found.symptoms), found.verdict) == (12, {}, "good")
    assert 0.005 < found.time_s(0.5) < 0.2


@pytest.mark.parametrize("name", sorted(set(BYTES) - {"missing"}))
def test_every_fault_of_the_wire_has_its_code_and_what_to_do(name):
    framing = "tcp" if name in {"wrong_transaction", "length_lie"} else "rtu"
    found = burst_of(name, framing=framing)
    told = faults(found, endpoint="/dev/ttySIM", device="meter")
    assert [fault.code for fault in told][:1] == [BYTES[name]], dict(found.symptoms)
    row = entry(told[0].code)
    assert row.do["en"]
    assert row.do["th"]
    if name == "silence":
        assert len(row.likely) == 3, "silence lists causes and picks none"


def test_the_codes_are_different_and_the_table_is_whole():
    assert set(kit.NAMES) <= set(BYTES), "a new fault of the kit needs its code here"
    assert set(VALUES) <= set(quirks.NAMES)
    assert len({*BYTES.values(), *VALUES.values()}) == len(BYTES) + len(VALUES)


def sensed(kind, *, later_s=0.0):
    """Values of a simulated unit as the profile decodes them: what the bytes say, with the marks of the judge."""
    from drivers.modbus.decode import BlockDecoder
    from drivers.modbus.plan import Block
    from drivers.profile import where

    profile, values, quality = load("eastron-sdm630"), {}, {}
    from drivers.sample import Code

    for row in profile.rows:
        place = where(row.read)
        question = bytes([4]) + place.address.to_bytes(2, "big") + place.count.to_bytes(2, "big")
        pdu = kind.answer(question, NOON_S + later_s)
        decoder = BlockDecoder(Block(place.table, place.address, place.count, (0,)), [row])
        (value,), (code,) = decoder.decode(pdu[2:])
        if code < 200:
            values[row.point] = value
        if code:
            quality[row.point] = Code(code).text
    return {"device": "meter", "v": values, "q": quality}


def codes_of(record, before=None):
    points = {point.name: point for point in load("eastron-sdm630").points("")}
    return [fault.code for fault in doubts(record, points, before=before)]


@pytest.mark.parametrize("name", ["zero", "restart", "rollover"])
def test_quirks_that_the_numbers_show(name):
    device = DEVICES["eastron-sdm630"].make(7, 3)
    before = sensed(device)["v"]
    if name == "rollover":
        quirks.impose(device, dict.fromkeys(("energy_import",), 65_500.0))
        before = sensed(device)["v"]
        quirks.impose(device, dict.fromkeys(("energy_import",), 65_540.0))
    quirks.afflict(device, name, now_s=NOON_S)
    assert VALUES[name] in codes_of(sensed(device, later_s=60.0), before)


@pytest.mark.parametrize(("name", "mark"), [("stuck", "u:stuck"), ("jump", "u:jump"), ("invalid", "b:range")])
def test_quirks_that_the_judge_marks(name, mark):
    """That the judge gives these marks is shown in tests/gateway/test_quality.py; here: what the technician is told."""
    record = {"device": "meter", "v": {}, "q": {"voltage_l1": mark}}
    assert codes_of(record) == [VALUES[name]]


def test_a_value_that_the_device_marks_as_absent():
    device = DEVICES["eastron-sdm630"].make(7, 3)
    quirks.afflict(device, "absent", now_s=NOON_S)
    assert VALUES["absent"] in codes_of(sensed(device))


def blocks(device):
    def answered(first, count):
        pdu = device.answer(bytes([4]) + first.to_bytes(2, "big") + count.to_bytes(2, "big"), NOON_S)
        return [("input", first, pdu[2:])] if pdu and pdu[0] < 0x80 else []

    return neighbours.registers([*answered(0, 76), *answered(76, 10)])


@pytest.mark.parametrize("name", ["swapped", "shifted", ""])
def test_word_order_and_shift_are_recognised(name):
    device = DEVICES["eastron-sdm630"].make(7, 3)
    if name:
        quirks.afflict(device, name, now_s=NOON_S)
    told = neighbours.faults(blocks(device), load("eastron-sdm630").rows, device="meter")
    assert [fault.code for fault in told] == ([VALUES[name]] if name else [])
    if name == "shifted":
        assert told[0].args["shift"] == "+1"
    if name == "swapped":
        assert told[0].args["order"] == "CDAB"


def test_a_lane_that_sends_nothing_is_told():
    told = missing([{"device": "radar-lane1"}], ["radar-lane1", "radar-lane2"], device="radar")
    assert [(fault.code, fault.seen) for fault in told] == [(BYTES["missing"], "radar-lane2")]
    assert missing([], ["radar-lane1"], device="radar") == []


@pytest.mark.parametrize(
    ("heard", "codes"),
    [
        ({}, []), ({"frames": 3, "rejected": 0, "junk_bytes": 9}, []),
        ({"frames": 0, "rejected": 0, "junk_bytes": 0}, ["CG-BUS-15"]),
        ({"frames": 0, "rejected": 0, "junk_bytes": 64}, ["CG-LNK-18"]),
        ({"frames": 1, "rejected": 3, "junk_bytes": 0}, ["CG-LNK-18"]),
    ],
)  # fmt: skip
def test_what_a_talking_sensor_sent_is_told(heard, codes):
    assert [fault.code for fault in of_stream(heard, device="air", endpoint="/dev/x")] == codes


@pytest.mark.parametrize("fault", ["bad_checksum"])
def test_read_on_a_real_pty_tells_it(capsys, tmp_path, cg_device, fault):
    placed = cg_device("eastron-sdm630", unit=3)
    more = f'[bus.line]\nkind = "serial"\nport = "{placed.port}"\nline = "9600 8N1"\n'
    more += '[device.meter]\nbus = "line"\nprofile = "eastron-sdm630"\nunit = 3\n'
    path = site(tmp_path, more=more)
    fine = said(capsys, "--config", path, "read", "meter", "--burst", "4")
    assert "link: 4 reads, 0.0 % failed" in fine.out
    assert fine.code == 0, fine
    placed.strike(fault)
    shown = said(capsys, "--config", path, "read", "meter", "--burst", "4")
    assert shown.code == 1
    assert f"error[{BYTES[fault]}]" in shown.err
    assert "100.0 % failed" in shown.out
    shutil.rmtree(tmp_path / "state")


def test_what_only_follows_from_a_cause_is_left_out():
    from gateway.catalogue import Fault as Told

    def left(*codes, warning=False):
        first, *rest = codes
        return [fault.code for fault in causes([Told(first, warning=warning), *map(Told, rest)])]

    assert left("CG-DEV-05", "CG-VAL-05", "CG-VAL-12", "CG-VAL-10") == ["CG-DEV-05", "CG-VAL-10"]
    assert left("CG-LNK-02", "CG-VAL-07") == ["CG-LNK-02"]
    assert left("CG-BUS-08", "CG-VAL-07", warning=True) == ["CG-BUS-08", "CG-VAL-07"]
