"""The question `history`: the right records of the range, the newest revision, and the loop breathes meanwhile."""

import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_records import event, raw, series, window
from ram_journal import RamJournal

import gateway.history
from gateway.codec import Codec
from gateway.health import rfc3339
from gateway.history import history

ONE, TWO = series("one"), series("two")
T0 = 1_790_000_000_000 // 900_000 * 900_000


def journal_of(*records):
    journal = RamJournal()
    codec = Codec({})
    for each in (ONE, TWO):
        codec.schema_marks(each)
    for record in records:
        journal.append(*codec.encode(record))
    return journal, codec


def asked(made, *, beside=None, **question):
    journal, codec = made
    request = {"ask": "history", "from": rfc3339(T0), "to": rfc3339(T0 + 3_600_000)} | question

    async def main():
        other = asyncio.create_task(beside()) if beside else None
        answer = await history(request, journal=journal, codec=codec)
        if other:
            other.cancel()
        return msgspec.json.decode(msgspec.json.encode(answer))

    return asyncio.run(main())


def test_range_stream_and_series():
    made = journal_of(
        *(raw(ONE, T0 + n * 1000, seq=n + 3) for n in range(-2, 4)), raw(TWO, T0 + 500), window(ONE, T0, stream="15m"),
        event(T0 + 10),
    )  # fmt: skip
    found = asked(made, series="one", stream="raw")["records"]
    assert [line["t"] for line in found] == [rfc3339(T0 + n * 1000) for n in range(4)]
    assert [line["device"] for line in asked(made, series="*", stream="raw")["records"]] == [
        "one",
        "two",
        "one",
        "one",
        "one",
    ]
    assert [line["stream"] for line in asked(made, series="*", stream="15m")["records"]] == ["15m"]
    assert asked(made, series="*", stream="1h")["records"] == []
    assert [line["id"] for line in asked(made, series="*", stream="event")["records"]]
    assert asked(made, series="one", stream="raw", to=rfc3339(T0))["records"] == []


def test_a_higher_revision_replaces_as_a_whole():
    made = journal_of(
        window(ONE, T0, stream="1m"), window(ONE, T0, stream="1m", rev=2), window(ONE, T0, stream="1m", rev=1)
    )
    assert [line.get("rev") for line in asked(made, stream="1m")["records"]] == [2]


def test_chosen_points_alone():
    made = journal_of(window(ONE, T0, stream="1m"))
    assert set(asked(made, stream="1m", points=["power_active"])["records"][0]["v"]) <= {"power_active"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"stream": "2m"}, {"stream": None}, {"stream": []}, {"stream": {}}, {"series": 5}, {"from": "yesterday"},
        {"to": 7}, {"from": "2026-11-21T00:00:00"},
        {"points": "x"}, {"points": [1]},
    ],
)  # fmt: skip
def test_wrong_questions_are_refused(wrong):
    assert asked(journal_of(), **wrong)["error"]["code"] == "CG-SYS-04"


def test_others_run_meanwhile():
    turns = 0

    async def beside():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    asked(journal_of(*(raw(ONE, T0 + n, seq=n + 1) for n in range(5000))), beside=beside, stream="raw")
    assert turns > 50


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2), st.booleans()), min_size=1, max_size=60),
    st.integers(1, 4000),
)
def test_a_cut_answer_is_whole_up_to_its_last_time(made, budget_bytes):
    """Appended in any order, with amendments: what is told before the end is all there is, in its newest revision."""
    records = [
        window(ONE if first else TWO, T0 + n * 60_000, stream="1m", rev=rev, seq=k + 1)
        for k, (n, rev, first) in enumerate(made)
    ]
    whole = asked(journal_of(*records), stream="1m")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gateway.history, "ANSWER_BYTES", budget_bytes)
        cut = asked(journal_of(*records), stream="1m")
    assert not whole["truncated"]
    told = cut["records"]
    assert told
    times = [line["t"] for line in told]
    assert times == sorted(times)
    if cut["truncated"]:
        one_time = len(set(times)) == 1
        inside = [line for line in whole["records"] if line["t"] <= times[-1]]
        assert one_time or {str(line) for line in told} == {str(line) for line in inside}
        assert len(told) < len(whole["records"]) or one_time
    else:
        assert sorted(map(str, told)) == sorted(map(str, whole["records"]))


def test_an_answer_never_grows_beyond_its_bytes():
    made = journal_of(*(raw(ONE, T0 + n, seq=n + 1) for n in range(3000)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gateway.history, "ANSWER_BYTES", 20_000)
        first = asked(made, stream="raw")
        assert first["truncated"]
        assert 10_000 < len(msgspec.json.encode(first["records"])) < 21_000
        found, begin = [*first["records"]], first["records"][-1]["t"]
        while True:
            answer = asked(made, stream="raw", **{"from": begin})
            found += answer["records"][1:]
            if not answer["truncated"]:
                break
            begin = answer["records"][-1]["t"]
    assert [line["seq"] for line in found] == list(range(1, 3001))
