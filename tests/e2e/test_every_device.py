"""Every known device, simulated, read by the real daemon in one run: on ptys, on Modbus TCP and as streams over TCP.

What the daemon delivers is what the device said; a value that nobody served is a failure, and so is a silent device.
Then every wire misbehaves for a while: answers late, damaged, cut, doubled, from somebody else. Still nothing is
believed that was not said.
"""

import math
import time
from collections import defaultdict

import pytest

from drivers.profile import load, shipped
from firmware_sims.gateway_process import until
from firmware_sims.single import DEVICES

pytestmark = [pytest.mark.e2e, pytest.mark.parts]
# Devices with a fixed address, or whose answers are long at their usual speed, keep a line of their own.
FAST = dict.fromkeys(("iec62056-21", "iec62056-21-battery"), "9600 7E1")
TCP = {"gill-windsonic", "natch", "dsmr-p1", "iss-rtms-g4", "eastron-sdm630", "plantower-pms5003", "winsen-mhz19b"}


FAULTY_S = 5.0
ON_A_LINE, ON_A_PORT = 6, 10
# With 16 bits of check value or more anything may happen; an 8-bit sum lets one noisy frame of 256 pass, and text none.
ANYTHING = ("silence", "bad_checksum", "half", "tail", "noise_before", "noise_after", "extra_byte", "duplicate", "late")
MODBUS = (*ANYTHING, "wrong_unit", "wrong_function", "exception", "foreign", "chunks", "banner")
# Modbus TCP has no check value: TCP itself sees to it that bytes are neither lost nor added.
MBAP = (
    "silence",
    "late",
    "duplicate",
    "exception",
    "foreign",
    "chunks",
    "wrong_unit",
    "wrong_function",
    "wrong_transaction",
)
WEAK = ("silence", "bad_checksum", "duplicate", "late")
UNTOLD = ("silence",)  # what has no check value cannot be told from what was changed on its way
UNSEALED = {
    "banner-dxm", "easymeter-q3d", "icoms-tma", "natch", "omnipresense-ops243",
    "optical-org-815", "maxbotix-hrxl", "maxbotix-hrxl-10m", "maxbotix-xl", "canoga-c900",
    "iec62056-21", "iec62056-21-battery",
}  # fmt: skip
STRONG = ("plantower", "wavetronix", "iss", "houston", "dsmr", "kaifa")


def misbehave(placed):
    for each in placed:
        strong = each.name.startswith(STRONG)
        modbus = load(each.name).speaks == "modbus"
        faults = MODBUS if modbus else ANYTHING if strong else UNTOLD if each.name in UNSEALED else WEAK
        faults = MBAP if each.faults.dress.mbap else faults
        for fault in faults:
            each.strike(fault, rate=0.05, delay_s=0.4, delay_to_s=2.5)


def place(device, bus):
    """Each device once. Modbus units share RTU lines by their setting, others of them a TCP port; streams stand alone.

    Few on each line: at 9600 Bd the cycle of many would be longer than the test.
    """
    placed, shared, ports = [], defaultdict(dict), [{}]
    for name in sorted(shipped()):
        kind = DEVICES[name]
        if name in TCP or kind.tcp:
            placed.append(device(name, tcp=True))
        elif load(name).speaks != "modbus":
            placed.append(device(name, line=FAST.get(name)))
        elif len(shared[kind.line]) < ON_A_LINE:
            shared[kind.line][kind.unit if kind.unit > 1 else len(shared[kind.line]) + 1] = name
        else:
            ports += [{}] if len(ports[-1]) == ON_A_PORT else []
            ports[-1][kind.unit if kind.unit > 1 else len(ports[-1]) + 1] = name
    for line, units in shared.items():
        placed += bus(units, line=line).values()
    for units in ports:
        placed += bus(units, tcp=True).values()
    return placed


def hasty():
    """The devices that sleep between polls, without their half minute of warm-up."""
    found = {name: path.read_text("utf-8") for name, path in shipped().items() if load(name).duty}
    return {name: text.replace("warmup_s = 30.0", "warmup_s = 0.5") for name, text in found.items()}


def since_one_that_was_heard(counts):
    """The count of a card: what came since the last answer that was heard, not since the last that was given."""
    sums = {round(sum(counts[first:end])) % 256 for end in range(len(counts) + 1) for first in range(end)}
    return {float(one) for one in sums}


def check(placed, record, *, told):
    """Every believed value was said, for its part, by its device; records are rounded to the point's digits."""
    part = record["device"].removeprefix(placed.id).removeprefix("-")
    digits = {point.name: point.digits for point in load(placed.name).points(part)}
    for point, value in record["v"].items():
        if (placed.name, point) == ("canoga-c900", "vehicle_count"):
            assert value in since_one_that_was_heard([values.get(point, 0.0) for values in told[part]]), (part, value)
            continue
        near = 0.51 * 10.0 ** -digits[point]
        said = [values[point] for values in told[part] if point in values]
        assert any(math.isclose(value, each, rel_tol=1e-6, abs_tol=near) for each in said), (
            placed.id,
            point,
            value,
            said,
        )


def test_the_daemon_reads_every_device_as_it_is(cg_device, cg_bus, cg_daemon):
    placed = place(cg_device, cg_bus)
    assert {each.name for each in placed} == set(shipped())
    gateway = cg_daemon(*placed, streams=["raw"], every="2s", profiles=hasty())
    names = [each.id for each in placed]

    def owner(record):
        return max((name for name in names if record["device"].startswith(name)), key=len)

    def all_spoke():
        return {owner(record) for record in gateway.records() if record["v"]} == set(names)

    try:
        until(all_spoke, deadline_s=60.0, what="every device")
    except TimeoutError:
        silent = set(names) - {owner(record) for record in gateway.records() if record["v"]}
        why = {name: [r["q"] for r in gateway.records(name)][-2:] for name in sorted(silent)}
        pytest.fail(f"silent: {why}\n{gateway.log()[-3000:]}")
    misbehave(placed)
    before = len(gateway.records())
    time.sleep(FAULTY_S)  # not waiting for anything: this long the wires are bad
    until(lambda: len(gateway.records()) > before, deadline_s=20.0, what="records from bad wires")
    assert gateway.stop() == 0
    failed = [record for record in gateway.records()[before:] if not record["v"]]
    assert failed
    by_name = {each.id: each for each in placed}
    told = {name: defaultdict(list) for name in names}
    for name, each in by_name.items():
        for served in list(each.served):
            told[name][served.part].append(served.values)
    for record in gateway.records():
        check(by_name[owner(record)], record, told=told[owner(record)])
