"""Every quality code has its twins in OPC UA and QARTOD, of the same severity."""

import pytest

from drivers.sample import Code
from gateway.indicators import plausible
from gateway.qualities import dictionary, meanings
from gateway.web.export import dictionary as exported
from gateway.web.picture import Picture


def test_all_codes_and_no_other():
    assert set(meanings()) == set(Code)
    assert all(row.code == int(code) for code, row in meanings().items())


@pytest.mark.parametrize("code", list(Code))
def test_twins_are_of_the_same_severity(code):
    """OPC UA Part 4: bits 31-30 of a StatusCode are 00 good, 01 uncertain, 10 bad. QARTOD: 1, 3, 4 or 9."""
    row = meanings()[code]
    severity = 0 if not code else 1 if code < 200 else 2
    assert row.status >> 30 == severity
    assert row.opcua.startswith(("Good", "Uncertain", "Bad")[severity])
    assert row.status & 0xFFFF == 0
    wanted = ({plausible.GOOD}, {plausible.SUSPECT}, {plausible.FAIL, plausible.MISSING})[severity]
    assert row.qartod in wanted
    assert row.en
    assert row.th


def test_names_and_numbers_of_opc_ua_are_one_to_one():
    pairs = {(row.opcua, row.status) for row in meanings().values()}
    assert len({name for name, _ in pairs}) == len({number for _, number in pairs}) == len(pairs)
    assert ("BadTimeout", 0x800A0000) in pairs


def test_the_open_data_dictionary_holds_them():
    told = exported(Picture())["qualities"]
    assert told == dictionary()
    assert told["b:range"] == {
        "code": 204, "opcua": "BadOutOfRange", "opcua_status": "0x803C0000", "qartod": 4,
        "en": "outside of what the sensor can measure", "th": "นอกช่วงที่เซนเซอร์วัดได้",
    }  # fmt: skip
