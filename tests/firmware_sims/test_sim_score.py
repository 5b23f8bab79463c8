"""The score of a gateway: what it believed against what was said."""

import json
from datetime import UTC, datetime

import pytest

from firmware_sims.__main__ import main
from firmware_sims.device import Served
from firmware_sims.score import FIGURES, score
from firmware_sims.truth import line

NOON = 1_795_240_800.0


def said(t_s, poll=1, part="", fault="", device="meter", **values):
    return json.loads(line(Served(device, NOON + t_s, poll, values, part, fault), t_s))


def record(t_s, device="meter", **values):
    t = datetime.fromtimestamp(NOON + t_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"device": device, "stream": "raw", "t": t, "v": values, "q": {} if values else {"*": "b:timeout"}}


def figures(truth, records):
    return {key: value for key, value in score(truth, records)[""].items() if value}


def test_all_is_well():
    truth = [said(0, voltage=230.04, power=12.3456), said(10, voltage=231.06, power=12.3)]
    records = [record(0.1, voltage=230.0, power=12.346), record(10.1, voltage=231.1, power=12.3)]
    assert figures(truth, records) == {"right": 4, "said": 2}


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([record(0, voltage=999.0)], {"wrong": 1, "said": 2, "missed": 2}),
        ([record(60, voltage=230.0), record(60.5, voltage=231.0)], {"stale": 1, "right": 1, "said": 2, "missed": 1}),
        ([record(0, voltage=230.0), record(0, voltage=230.0)], {"right": 2, "doubled": 1, "said": 2, "missed": 1}),
        ([record(0, voltage=230.0), record(60)], {"right": 1, "failed": 1, "said": 2, "missed": 1}),
        ([record(0, voltage=230.0, device="other")], {"wrong": 1, "said": 2, "missed": 2}),
    ],
)
def test_every_kind_of_fault_is_counted(records, expected):
    assert figures([said(0, voltage=230.0), said(60, voltage=231.0)], records) == expected


def test_a_value_is_not_right_because_both_round_to_the_same_whole_number():
    truth = [said(10 * n, power_factor=0.6, frequency=49.6, level=0.4, volume=n) for n in range(5)]
    records = [record(10 * n, power_factor=1.0, frequency=50.0, level=0.0, volume=n) for n in range(5)]
    assert figures(truth, records) == {"right": 5, "wrong": 15, "said": 5}


def test_a_points_resolution_is_that_of_its_finest_value():
    truth = [said(0, voltage=230.04), said(10, voltage=231.06), said(20, voltage=229.96)]
    fine = [record(0, voltage=230.04), record(10, voltage=231.06), record(20, voltage=230.0)]
    assert figures(truth, fine)["wrong"] == 1
    assert figures(truth, [*fine[:2], record(20, voltage=229.96)])["right"] == 3


def test_a_point_told_in_whole_numbers():
    truth = [said(10 * n, co2=600.4 + 7 * n) for n in range(4)]
    assert figures(truth, [record(10 * n, co2=600.0 + 7 * n) for n in range(4)])["right"] == 4


def test_lanes_faults_and_windows():
    truth = [
        said(0, part="lane1", device="radar", speed=61.0),
        said(0, part="lane2", device="radar", speed=72.0),
        said(5, part="lane1", device="radar", fault="bad_checksum", speed=55.0),
    ]
    records = [record(0, device="radar-lane1", speed=61.0), record(0, device="radar-lane2", speed=72.0)]
    records += [{**record(0, device="radar-lane1", speed=66.0), "stream": "1m"}]
    found = score(truth, records)
    assert found["radar-lane1"] == dict.fromkeys(FIGURES, 0) | {"right": 1, "said": 1, "struck": 1}
    swapped = [record(0, device="radar-lane1", speed=72.0), record(0, device="radar-lane2", speed=61.0)]
    assert score(truth, swapped)[""]["wrong"] == 2


def test_the_verb(tmp_path, capsys):
    truth, records = tmp_path / "truth.jsonl", tmp_path / "records.jsonl"
    truth.write_text(json.dumps(said(0, voltage=230.0)) + "\n")
    records.write_text(json.dumps(record(0, voltage=230.0)) + "\n" + json.dumps(record(1, voltage=1.0))[:20])
    assert main(["score", str(truth), str(records)]) == 0
    assert json.loads(capsys.readouterr().out)["all"]["right"] == 1
    records.write_text(json.dumps(record(0, voltage=23.0)) + "\n")
    assert main(["score", str(truth), str(records)]) == 1


@pytest.mark.parametrize(("fault", "value", "verdict"), [
    ("silence", 9.0, "right"), ("silence", 5.0, "right"), ("", 9.0, "wrong"), ("silence", 12.0, "wrong"),
    ("silence", 8.0, "wrong"),
])  # fmt: skip
def test_a_count_holds_what_the_answers_that_got_lost_had_counted(fault, value, verdict):
    """3, then 4 that nobody heard, then 5: a card that counts since the last answer was heard gives 9."""
    truth = [said(t_s, part="ch1", vehicle_count=n, fault=f) for t_s, n, f in ((0, 3, ""), (10, 4, fault), (20, 5, ""))]
    records = [record(0, device="meter-ch1", vehicle_count=3.0), record(20, device="meter-ch1", vehicle_count=value)]
    found = score(truth, records)["meter-ch1"]
    assert found["right"] == 1 + (verdict == "right")
    assert found["wrong"] == (verdict == "wrong")


def test_a_count_goes_round_at_its_modulus():
    truth = [said(0, vehicle_count=200, fault="late"), said(10, vehicle_count=100)]
    assert figures(truth, [record(10, vehicle_count=44.0)])["right"] == 1
