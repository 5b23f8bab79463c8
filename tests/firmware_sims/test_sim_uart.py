"""The bit-level UART against the measured table of what wrong settings sound like (users.md)."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sims.uart import Line, heard

N, E, ODD = Line(9600), Line(9600, parity="E"), Line(9600, parity="O")


@pytest.mark.parametrize(
    ("sent", "listened", "inverted", "count", "framing", "parity", "exact"),
    [
        (N, N, False, 9.0, 0, 0, 1.0),
        (Line(9888), N, False, 9.0, 0, 0, 1.0),
        (Line(9600, stop_bits=2), N, False, 9.0, 0, 0, 1.0),
        (N, N, True, 8.0, 3.5, 0, 0.0),
        (E, N, False, 9.0, 4.5, 0, 1.0),
        (N, E, False, 7.4, 3.9, 4.2, 0.0),
        (ODD, E, False, 9.0, 0, 9.0, 1.0),
        (Line(19200), N, False, 4.2, 0.9, 0, 0.0),
        (Line(38400), N, False, 2.3, 1.0, 0, 0.0),
        (Line(4800), N, False, 12.8, 7.0, 0, 0.0),
        (Line(2400), N, False, 19.0, 10.6, 0, 0.0),
        (Line(10176), N, False, 7.4, 3.9, 0, 0.0),
    ],
)
def test_table_of_wrong_settings(sent, listened, inverted, count, framing, parity, exact):
    dice = random.Random(1)
    frames = [dice.randbytes(9) for _ in range(200)]
    found = [heard(frame, sent=sent, listened=listened, inverted=inverted) for frame in frames]
    share = sum(h.data == f for h, f in zip(found, frames, strict=True)) / 200
    assert share == pytest.approx(exact, abs=0.05)
    assert sum(len(h.data) for h in found) / 200 == pytest.approx(count, rel=0.12)
    assert sum(h.framing_errors for h in found) / 200 == pytest.approx(framing, rel=0.25, abs=0.4)
    assert sum(h.parity_errors for h in found) / 200 == pytest.approx(parity, rel=0.15, abs=0.2)


@given(st.binary(max_size=64), st.sampled_from(["9600 8N1", "19200 8E1", "4800 8O1", "9600 8N2"]))
def test_right_settings_change_nothing(data, text):
    line = Line.parse(text)
    assert heard(data, sent=line, listened=line).data == data
    assert heard(data, sent=line, listened=Line(line.baud, parity=line.parity, stop_bits=1)).data == data


def test_line_settings():
    assert Line.parse("9600 8N1").char_bits == 10
    assert Line.parse("19200 8E1").char_s == pytest.approx(11 / 19200)
    with pytest.raises(ValueError):
        Line.parse("fast")
