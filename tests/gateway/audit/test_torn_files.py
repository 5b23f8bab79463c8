"""Files after a power cut: torn lines are passed over, whatever byte they end at; whole ones are all read, once."""

import json
from dataclasses import replace

import pytest
from audit_desk import Desk, event, raw, window
from cli_desk import said

THAI = replace(event(0), body=replace(event(0).body, text={"en": "x", "th": "เกิดข้อผิดพลาด"}))
RECORDS = [raw(0), raw(1), THAI, window(0)]


@pytest.fixture
def made(request, tmp_path):
    """A sound delivery of a form, and the file's records as bytes."""
    form = request.param
    text = f'[sink.db]\nkind = "file"\nformat = "{form}"\npath = "{tmp_path}/out"\nstreams = ["raw", "1m", "event"]\n'
    desk, parts, before = Desk(tmp_path, text), [], b""
    for record in RECORDS:
        desk.deliver([record])
        whole = (tmp_path / "out").read_bytes()
        parts.append(whole[len(before) :])
        before = whole
    desk.journal(RECORDS)
    return desk, parts


def verdict(capsys, desk):
    shown = said(capsys, "journal", "verify", "db", "--json", "--config", desk.config)
    return shown.code, shown.out


FORMS = pytest.mark.parametrize("made", ["jsonl", "csv", "lp"], indirect=True)


@FORMS
def test_a_record_torn_at_any_byte_and_written_again_is_there_once(made, capsys):
    desk, parts = made
    places = {at for part in parts for at in (1, len(part) // 3, len(part) // 2, len(part) - 2)}
    thai = parts[2].find("เกิด".encode())
    for index, part in enumerate(parts):
        for cut in sorted({*places, *([thai + 4, thai + 5] if index == 2 and thai > 0 else [])}):
            if cut < len(part):
                (desk.folder / "out").write_bytes(
                    b"".join(parts[:index]) + part[:cut] + b"\n" + b"".join(parts[index:])
                )
                assert verdict(capsys, desk)[0] == 0, part[:cut]


@FORMS
@pytest.mark.parametrize("junk", [b"\0" * 4096, b"[]", b"5", b"null", b'{"device":1}', b"\xff\xfe,,,,,,,,,"])
def test_other_lines_are_passed_over(made, capsys, junk):
    desk, parts = made
    (desk.folder / "out").write_bytes(b"".join(parts[:2]) + junk + b"\n" + b"".join(parts[2:]))
    assert verdict(capsys, desk)[0] == 0


@pytest.mark.parametrize("made", ["csv"], indirect=True)
def test_the_first_lines_of_a_table_record_are_no_double_and_the_whole_one_twice_is(made, capsys):
    desk, parts = made
    head = parts[3].splitlines(keepends=True)
    file = desk.folder / "out"
    file.write_bytes(b"".join(parts[:3]) + b"".join(head[:2]) + parts[1] + b"".join(parts[2:]))
    code, told = verdict(capsys, desk)
    found = [json.loads(line) for line in told.splitlines() if "finding" in line]
    assert (code, [(one["finding"], one["stream"]) for one in found]) == (1, [("doubled", "event"), ("doubled", "raw")])
