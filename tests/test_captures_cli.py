"""Every recorded frame of CITYGATE_CAPTURES once more, through `citygate decode`: the same verdicts as in the test.

The rules are those of tests/test_captures.py; only the decoder is the command, its JSON lines read back.
"""

import json
from pathlib import Path

import cli_desk
import pytest
import register_captures
import test_captures

from drivers.offline import Found, knows_stream

REGISTERS = register_captures.REGISTER_FAMILIES


class Command:
    """`decode_stream` and `decode_registers` by way of the command line; exit codes are checked on the way."""

    def __init__(self, capsys, folder):
        self.capsys, self.file = capsys, folder / "recorded.bin"

    def stream(self, name, data):
        return self._said(name, data)

    def registers(self, name, data, *, request=None, framing="rtu"):
        return self._said(name, data, *(["--request", request] if request else []), "--framing", framing)

    def _said(self, name, data, *options):
        # As hex text: a recording whose raw bytes happen to spell hex digits would be read as such.
        self.file.write_text(data.hex(" "), encoding="ascii")
        said = cli_desk.said(self.capsys, "decode", name.replace("_", "-"), self.file, *options)
        rows = [json.loads(line) for line in said.out.splitlines()]
        good = bool(rows) and all(row["ok"] for row in rows)
        assert said.code == (0 if good else 65), said
        assert rows or said.err
        return [self._found(row) for row in rows]

    def _found(self, row):
        if not row["ok"]:
            assert row["code"].startswith("CG-")
            return Found(row["offset"], row["size"], ok=False, code=row["code"], reason=row["reason"])
        return Found(
            row["offset"], row["size"], ok=True, values=row["v"], quality=row["q"], fields=row["fields"],
            part=row.get("part", ""),
        )  # fmt: skip


@pytest.mark.captures
@pytest.mark.parametrize(
    ("path", "capture"),
    test_captures._all(),
    ids=lambda value: value.stem if isinstance(value, Path) else value["id"],
)
def test_through_the_command(path, capture, capsys, tmp_path, monkeypatch):
    command = Command(capsys, tmp_path)
    monkeypatch.setattr(test_captures, "decode_stream", command.stream)
    monkeypatch.setattr(register_captures, "decode_registers", command.registers)
    monkeypatch.setattr(register_captures, "every_byte_counts", lambda *_, **__: None)  # once is enough
    if check := REGISTERS.get(path.stem):
        check(test_captures._file(path), capture)
    elif knows_stream(path.stem):
        test_captures.check_stream(path.stem, capture)
    else:
        pytest.fail(f"no driver: {path.stem}")


def test_nothing_found_is_exit_65(capsys, tmp_path):
    file = tmp_path / "noise.bin"
    file.write_bytes(b"\x01\x02\x03")
    assert cli_desk.said(capsys, "decode", "plantower-pms5003", file).code == 65
