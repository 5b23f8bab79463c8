"""Line protocol: our encoder read back by a parser of its own, the worked cases, and what must never be written."""

import json
import os
from math import inf, isfinite, nan
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sink_cases import EPOCH, SITE, T0_MS, event, raw, window

from drivers.sample import Code
from gateway.sinks.line_protocol import LineProtocol, line

CASES = Path(os.environ.get("CITYGATE_REFCASES", Path(__file__).parents[3] / "../shared/refcases.json"))


def cut(text, separator, *, quotes=False):
    """Split at separators that are neither escaped nor inside quotes."""
    parts, part, escaped, inside = [], "", False, False
    for c in text:
        if escaped:
            part += c
            escaped = False
        elif c == "\\":
            part += c
            escaped = True
        elif quotes and c == '"':
            part += c
            inside = not inside
        elif c == separator and not inside:
            parts.append(part)
            part = ""
        else:
            part += c
    return [*parts, part]


def plain(text, letters):
    for letter in letters:
        text = text.replace(f"\\{letter}", letter)
    return text


def value_of(text):
    if text.startswith('"'):
        return text[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if text in {"true", "false"}:
        return text == "true"
    return int(text[:-1]) if text.endswith("i") else float(text)


def parse(text):
    head = cut(text, " ")[0]
    fields, time = cut(text[len(head) + 1 :], " ", quotes=True)
    measurement, *tags = cut(head, ",")
    pairs = [cut(each, "=", quotes=True) for each in cut(fields, ",", quotes=True)]
    return {
        "measurement": plain(measurement, ", "),
        "tags": {plain(k, ",= "): plain(v, ",= ") for k, v in (cut(tag, "=") for tag in tags)},
        "fields": {plain(k, ",= "): value_of(v) for k, v in pairs},
        "time": int(time),
    }  # fmt: skip


def parsed(record, **more):
    return parse(LineProtocol(SITE, **more).encode(record))


def test_a_raw_record_is_the_contract():
    found = parsed(raw(7))
    assert found["measurement"] == "air"
    assert found["tags"] == {"city": "khon-kaen", "gateway": "kkc-0412", "device": "air-north"}
    assert found["fields"] == {"pm2_5": 12.0, "pm10": 18.0, "quality": 0.0, "seq": 7, "epoch": EPOCH}
    assert isinstance(found["fields"]["seq"], int)
    assert isinstance(found["fields"]["quality"], float)
    assert found["time"] == T0_MS + 7000


def test_the_worst_quality_stands_and_a_rejected_number_stands_apart():
    fields = parsed(raw(1, values=(12.0, 6553.5), codes=(Code.STUCK, Code.SENTINEL)))["fields"]
    assert fields["quality"] == 205.0
    assert (fields["quality_pm2_5"], fields["quality_pm10"], fields["bad_pm10"]) == (101.0, 205.0, 6553.5)
    assert "pm10" not in fields


def test_a_failed_poll_still_writes_its_quality():
    fields = parsed(raw(1, values=(nan, nan), codes=(201, 201)))["fields"]
    assert fields == {"quality": 201.0, "quality_pm2_5": 201.0, "quality_pm10": 201.0, "seq": 1, "epoch": EPOCH}


def test_an_amended_record_clears_the_quality_of_its_first():
    fields = parsed(raw(1, rev=1))["fields"]
    assert (fields["rev"], fields["quality_pm2_5"], fields["quality_pm10"]) == (1, 0.0, 0.0)
    assert parsed(raw(1, rev=1))["tags"].keys() == {"city", "gateway", "device"}
    assert parsed(raw(1, rev=1), rev_tag=True)["tags"]["rev"] == "1"


def test_a_window_has_one_field_per_statistic():
    found = parsed(window(1))
    assert (found["measurement"], found["tags"]["stream"]) == ("air_window", "1h")
    fields = found["fields"]
    assert (fields["pm2_5__mean"], fields["pm2_5__p95"], fields["pm10__n"], fields["pm10__coverage"]) == (
        12.1, 13.8, 1800.0, 0.5,
    )  # fmt: skip
    assert "pm10__std" not in fields
    assert (fields["n"], fields["coverage"], fields["quality"]) == (3600.0, 1.0, 204.0)
    assert fields["end_ms"] == T0_MS + 7_200_000
    assert (fields["i__aqi_th"], fields["i__aqi_th__level"], fields["i__aqi_th__coverage"]) == (20.0, 1.0, 0.88)


def test_an_event_keeps_its_words_and_its_own_identity():
    found = parsed(event(3, type="gap", stream="raw", reason="full", seq=[4, 6], epoch="00000001-aaaa", n=3))
    assert (found["measurement"], found["tags"]["device"]) == ("gateway_event", "_gateway")
    fields = found["fields"]
    assert (fields["seq"], fields["epoch"], fields["gap_seq"], fields["gap_epoch"]) == (
        3,
        EPOCH,
        "[4,6]",
        "00000001-aaaa",
    )
    assert (fields["n"], fields["level"], fields["text_th"]) == (3.0, 2.0, "เต็ม")
    assert parsed(event(4, device="air-north"))["measurement"] == "air_event"


names = st.text(st.characters(exclude_characters="\n\r", exclude_categories=("Cs",)), min_size=1).filter(
    lambda text: not text.endswith("\\") and "\\" not in text and '"' not in text
)
values = st.floats() | st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.text(
    st.characters(exclude_characters="\n\r", exclude_categories=("Cs",))
)  # fmt: skip


@given(names, st.dictionaries(names, names), st.dictionaries(names, values, min_size=1), st.integers(0, 10**15))
def test_everything_written_is_read_back(measurement, tags, fields, time):
    text = line(measurement, tags, fields=fields, time=time)
    kept = {k: v for k, v in fields.items() if not isinstance(v, float) or isfinite(v)}
    if not kept:
        assert text == ""
        return
    assert parse(text) == {"measurement": measurement, "tags": tags, "fields": kept, "time": time}
    assert "\n" not in text


def test_line_breaks_never_leave_their_place():
    assert "\n" not in line("m", {}, fields={"note": "a\nb"}, time=1)
    for tags in ({"a": "x\ny"}, {"a\n": "x"}, {"a": "x\\"}):
        with pytest.raises(ValueError, match="cannot stand"):
            line("m", tags, fields={"x": 1.0}, time=1)


@given(st.lists(st.tuples(st.floats(), st.sampled_from([int(c) for c in Code])), min_size=2, max_size=2))
def test_nothing_that_is_no_number_and_nothing_bad_is_written_as_a_value(pairs):
    text = LineProtocol(SITE).encode(raw(1, values=[x for x, _ in pairs], codes=[c for _, c in pairs]))
    fields = parse(text)["fields"]
    for name, (value, code) in zip(("pm2_5", "pm10"), pairs, strict=True):
        assert (name in fields) is (code < 200 and isfinite(value))
    assert all(isfinite(x) for x in fields.values() if isinstance(x, float))


def _cases():
    if not CASES.is_file():
        return []
    return [case for case in json.loads(CASES.read_text())["cases"] if case["topic"] == "influx/line"]


@pytest.mark.refcases
def test_the_worked_cases_of_line_protocol():
    cases = _cases()
    if not cases:
        pytest.skip(f"the worked cases are not here: {CASES} (CITYGATE_REFCASES)")
    for case in cases:
        given_, expected = case["input"], case["expected"]
        fields = {}
        for name, typed in given_["fields"].items():
            ((kind, value),) = typed.items()
            make = {"float": float, "int": int, "bool": bool, "str": str}[kind]
            fields[name] = make(value) if value not in ("Inf", "-Inf", "NaN") else float(value.replace("Inf", "inf"))
        text = line(given_["measurement"], given_["tags"], fields=fields, time=given_["time_ns"])
        if "line" in expected:
            assert parse(text) == parse(expected["line"]), case["id"]
        elif expected["line_parsed"] is None:
            assert text == "", case["id"]
        else:
            wanted = {**expected["line_parsed"]}
            assert parse(text) == {**wanted, "time": wanted.pop("time_ns")}, case["id"]


def test_infinity_is_left_out():
    assert line("m", {}, fields={"a": inf, "b": 1.5}, time=1) == "m b=1.5 1"
