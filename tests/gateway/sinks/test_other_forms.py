"""SenML, CSV and the text exposition format: what they say of records, and what they never say."""

import asyncio
import csv
import errno
import io
import json
import os
import re
import threading
from dataclasses import replace
from math import inf, isfinite, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st
from senml_reader import resolve
from sink_cases import SITE, T0_MS, Book, event, options, parcels, raw, window

from drivers.points import units
from drivers.sample import Code
from gateway.sinks import Fate, SinkDown, file
from gateway.sinks.registry import make_sink
from gateway.sinks.senml import SenML
from gateway.sinks.table import COLUMNS

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-:./_]*")
numbers = st.floats() | st.sampled_from([nan, inf, 65535.0])
codes = st.sampled_from([int(code) for code in Code])


def senml(record, **more):
    found = resolve(json.loads(SenML(SITE, **more).encode(record)))
    names = [entry["n"] for entry in found]
    assert len(names) == len(set(names))
    assert all(NAME.fullmatch(name) for name in names)
    assert all(sum(kind in entry for kind in ("v", "vs", "vb")) == 1 for entry in found)
    return {entry["n"].removeprefix("khon-kaen/kkc-0412/"): entry for entry in found}


def test_a_raw_record_has_units_and_times():
    found = senml(raw(1, codes=(0, Code.STUCK)))
    entry = found["air-north/pm2_5"]
    assert (entry["v"], entry["u"], entry["t"]) == (12.0, "ug/m3", T0_MS / 1000 + 1)
    assert (found["air-north/pm10"]["v"], found["air-north/pm10/q"]["v"]) == (18.0, 101)
    assert (found["air-north/seq"]["v"], found["air-north/epoch"]["vs"]) == (1, raw(1).epoch)


def test_a_window_names_its_statistics():
    found = senml(window(1))
    assert (found["air-north/pm2_5/mean"]["v"], found["air-north/pm2_5/p95"]["v"]) == (12.1, 13.8)
    assert "air-north/pm10/std" not in found
    assert (found["air-north/pm10/q"]["v"], found["air-north/i/aqi_th"]["v"]) == (204, 20.0)
    assert found["air-north/end"]["v"] == T0_MS / 1000 + 7200
    assert senml(window(1, rev=2))["air-north/rev"]["v"] == 2


def test_an_event_is_told_in_strings():
    found = senml(event(1, value=3.5, seq=[1, 2]))
    assert (found["_gateway/event/code"]["vs"], found["_gateway/event/value"]["v"]) == ("CG-JRN-01", 3.5)


@given(st.lists(st.tuples(numbers, codes), min_size=2, max_size=2))
def test_no_bad_number_is_ever_written(pairs):
    record = raw(1, values=[x for x, _ in pairs], codes=[code for _, code in pairs])
    found = senml(record)
    for name, (value, code) in zip(("pm2_5", "pm10"), pairs, strict=True):
        good = code < 200 and isfinite(value)
        assert (f"air-north/{name}" in found) is good
        assert (f"air-north/{name}/q" in found) is not (good and code == 0)
        assert found.get(f"air-north/{name}/q", {"v": 999})["v"] >= (200 if not good else 100)


def test_every_unit_has_a_senml_name():
    assert all(unit.senml for unit in units().values())


async def written(sink, records):
    book = Book()
    await sink.open(book)
    await sink.send(parcels(records))
    await sink.close()
    return book


@pytest.mark.parametrize("turns", [1, 2])
def test_csv_has_one_header_and_one_row_per_value(tmp_path, turns):
    path = tmp_path / "out.csv"
    failed = raw(2, values=(nan, nan), codes=(201, 201))
    for _ in range(turns):
        sink = make_sink("archive", options("file", path=str(path), format="csv"), site=SITE)
        asyncio.run(written(sink, [raw(1, codes=(0, 101)), failed, window(1), event(3, value=1.5)]))
    head, *rows = csv.reader(io.StringIO(path.read_text()))
    assert tuple(head) == COLUMNS
    assert head not in rows
    one = rows[: len(rows) // turns]
    assert one[0][1:] == ["air-north", "raw", raw(1).epoch, "1", "0", "pm2_5", "", "12.0", "good"]
    assert one[1][-4:] == ["pm10", "", "18.0", "u:stuck"]
    assert one[2][-4:] == ["*", "", "", "b:timeout"]
    assert ["pm2_5", "mean", "12.1", "good"] in [row[-4:] for row in one]
    assert one[-1][-4:-1] == ["CG-JRN-01", "raised", "1.5"]


@pytest.mark.parametrize("form", ["jsonl", "csv", "lp"])
def test_a_line_that_was_cut_off_is_never_made_whole(tmp_path, form):
    """Cut anywhere, as by a full disk or a power cut, and written again: the file is the one without the cut."""
    records = [raw(1), raw(2, values=(13.5, 19.0))]
    whole = tmp_path / "whole"
    asyncio.run(written(make_sink("a", options("file", path=str(whole), format=form), site=SITE), records))
    told = whole.read_bytes()
    header = told[: told.index(b"\n") + 1] if form == "csv" else b""
    path = tmp_path / "cut"
    for cut in range(len(told)):
        path.write_bytes(told[:cut])
        asyncio.run(written(make_sink("a", options("file", path=str(path), format=form), site=SITE), []))
        assert path.read_bytes() == (told[: told.rfind(b"\n", 0, cut) + 1] or header)


def test_a_full_disk_leaves_no_part_of_a_batch(tmp_path, monkeypatch):
    """What was written of a batch before the disk was full is taken away: its records come again, once."""
    path, write, room = tmp_path / "out", os.write, [700]

    def scarce(fd, data):
        taken = bytes(data)[: room[0]]
        if not taken:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        room[0] -= len(taken)
        return write(fd, taken)

    records = [raw(seq) for seq in range(1, 11)]
    sink = make_sink("archive", options("file", path=str(path)), site=SITE)
    with monkeypatch.context() as full:
        full.setattr(os, "write", scarce)
        with pytest.raises(SinkDown, match="No space left"):
            asyncio.run(written(sink, records))
    assert path.read_bytes() == b""
    asyncio.run(sink.close())
    asyncio.run(written(sink, records))
    assert [json.loads(line)["seq"] for line in path.read_text().splitlines()] == list(range(1, 11))


def test_a_file_that_is_none_of_ours_is_not_cut(tmp_path, monkeypatch):
    path = tmp_path / "disk.img"
    path.write_bytes(b"\0" * 5000)
    monkeypatch.setattr(file, "TAIL_BYTES", 4096)
    sink = make_sink("archive", options("file", path=str(path)), site=SITE)
    with pytest.raises(SinkDown, match="too long"):
        asyncio.run(written(sink, [raw(1)]))
    asyncio.run(sink.close())
    assert path.read_bytes() == b"\0" * 5000


def samples(path):
    found = {}
    for text in path.read_text().splitlines():
        if not text.startswith("#"):
            name, value = text.rsplit(" ", 1)
            assert name not in found
            found[name] = float(value)
    return found


def test_the_exposition_shows_the_newest_and_forgets_what_failed(tmp_path):
    path = tmp_path / "citygate.prom"
    sink = make_sink("scrape", options("file", path=str(path), format="prometheus"), site=SITE)
    labels = 'city="khon-kaen",gateway="kkc-0412",device="air-north",stream="raw"'
    book = asyncio.run(written(sink, [raw(2, values=(13.0, 19.0)), raw(1), window(1), event(1)]))
    assert [fate for _, fate, _ in book.fates] == [Fate.SENT] * 4
    found = samples(path)
    assert found[f"citygate_pm2_5{{{labels}}}"] == 13.0
    assert found[f"citygate_record_time_seconds{{{labels}}}"] == T0_MS / 1000 + 2
    assert found['citygate_pm2_5_mean{city="khon-kaen",gateway="kkc-0412",device="air-north",stream="1h"}'] == 12.1
    asyncio.run(written(sink, [raw(3, values=(nan, 20.0), codes=(201, 0))]))
    found = samples(path)
    assert f"citygate_pm2_5{{{labels}}}" not in found
    assert found[f"citygate_pm10{{{labels}}}"] == 20.0
    assert [each.name for each in tmp_path.iterdir()] == ["citygate.prom"]


def test_the_exposition_follows_the_records_not_a_clock_that_was_ahead(tmp_path):
    path = tmp_path / "citygate.prom"
    sink = make_sink("scrape", options("file", path=str(path), format="prometheus"), site=SITE)
    labels = 'city="khon-kaen",gateway="kkc-0412",device="air-north",stream="{}"'
    ahead = raw(2, values=(99.0, 99.0))
    ahead = replace(ahead, t_ms=ahead.t_ms + 30 * 86_400_000)
    asyncio.run(written(sink, [ahead, raw(3, values=(13.0, 19.0)), replace(raw(1), late=True)]))
    assert samples(path)[f"citygate_pm2_5{{{labels.format('raw')}}}"] == 13.0
    asyncio.run(written(sink, [raw(4, values=(nan, nan), codes=(201, 201))]))
    assert f"citygate_pm2_5{{{labels.format('raw')}}}" not in samples(path)
    asyncio.run(written(sink, [window(2), window(1, rev=1)]))
    times = f"citygate_record_time_seconds{{{labels.format('1h')}}}"
    assert samples(path)[times] == window(2).t_ms / 1000
    again = replace(window(0), epoch="0000002b-0001")
    asyncio.run(written(sink, [again, replace(window(9), late=True)]))
    assert samples(path)[times] == again.t_ms / 1000


def test_a_write_that_is_given_up_ends_before_its_file_is_closed(tmp_path, monkeypatch):
    """A cancelled send leaves its thread writing: closing waits for it, or the descriptor would be another file's."""
    started, go_on, order = threading.Event(), threading.Event(), []
    original_sync, original_close = os.fdatasync, os.close

    def slow_sync(fd):
        started.set()
        go_on.wait(10)
        original_sync(fd)
        order.append("written")

    async def story():
        sink = make_sink("archive", options("file", path=str(tmp_path / "out")), site=SITE)
        await sink.open(Book())
        fd = sink._fd
        monkeypatch.setattr(os, "fdatasync", slow_sync)
        monkeypatch.setattr(
            os, "close", lambda one: (order.append("closed") if one == fd else None, original_close(one))
        )
        sending = asyncio.create_task(sink.send(parcels([raw(1)])))
        await asyncio.to_thread(started.wait, 10)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        closing = asyncio.create_task(sink.close())
        await asyncio.sleep(0)
        go_on.set()
        await closing

    asyncio.run(story())
    assert order == ["written", "closed"]
