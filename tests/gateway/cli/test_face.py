"""How the command line talks: help, languages, colours, widths, JSON, exit codes, and what it imports."""

import json
import os
import pty
import re
import subprocess
import sys
import unicodedata

import click
import pytest
from cli_desk import said, site
from hypothesis import given
from hypothesis import strategies as st

import gateway.cli
from gateway.catalogue import Fault, Trouble
from gateway.cli.face import Face, cells, padded, wrapped
from gateway.cli.verbs import VERBS, citygate

COMMAND = [sys.executable, "-m", "gateway"]
LISTED = citygate.list_commands(click.Context(citygate))
FIRST = ("run", "check", "status", "read", "watch", "decode", "profiles", "config", "help")


def _leaves():
    context = click.Context(citygate)
    for verb in LISTED:
        if verb == "sim":  # becomes another program: see below
            continue
        command = citygate.get_command(context, verb)
        yield (verb,)
        if isinstance(command, click.Group):
            yield from ((verb, inner) for inner in command.commands)


@pytest.mark.parametrize("words", list(_leaves()), ids=" ".join)
def test_every_verb_has_help(capsys, words):
    shown = said(capsys, *words, "--help")
    assert shown.code == 0
    assert shown.out.startswith("Usage: citygate")
    assert len(shown.out.splitlines()) > 4
    assert not shown.err


def test_sim_has_help():
    done = subprocess.run([*COMMAND, "sim", "--help"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage" in done.stdout.lower()


def test_the_list_of_verbs(capsys):
    shown = said(capsys, "--help")
    for verb in LISTED:
        assert f"  {verb} " in shown.out
    assert set(FIRST) <= set(LISTED)
    assert "ตรวจ" in said(capsys, "--lang", "th", "--help").out
    assert all(thai and english for _file, english, thai in VERBS.values())


def test_help_is_quick_and_imports_little():
    code = (
        "import sys, time; t = time.perf_counter(); import gateway.cli; gateway.cli.call(['--help']);"
        "heavy = {'numpy', 'rich', 'pymodbus', 'paho', 'msgspec', 'jsonschema', 'serial', 'asyncio', 'drivers'};"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(("words", "wanted"), [("citygate sc", "scan"), ("citygate --la", "--lang")])
def test_a_tab_completes(words, wanted):
    env = {
        **os.environ, "_CITYGATE_COMPLETE": "bash_complete", "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }  # fmt: skip
    done = subprocess.run(COMMAND, capture_output=True, text=True, timeout=60, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"plain,{wanted}" in done.stdout.split()


def test_a_tab_imports_little():
    code = (
        "import os, sys; os.environ |= {'_CITYGATE_COMPLETE': 'bash_complete', 'COMP_WORDS': 'citygate scan --l',"
        "'COMP_CWORD': '2'}; import gateway.cli; gateway.cli.complete('bash_complete');"
        "heavy = {'numpy', 'rich', 'pymodbus', 'paho', 'msgspec', 'jsonschema', 'serial', 'drivers'};"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr.strip() == "[]"
    assert "plain,--line" in done.stdout.split()


def test_help_costs_little_more_than_click_itself():
    """CPU time in ratio to the same import in the same run: absolute times are the machine's business."""

    def cpu(code):
        told = "r = resource.getrusage(resource.RUSAGE_SELF)\nsys.stderr.write(str(r.ru_utime + r.ru_stime))"
        argv = [sys.executable, "-c", f"import resource, sys\n{code}\n{told}"]
        runs = [subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60) for _turn in range(5)]
        return min(float(run.stderr) for run in runs)

    assert (
        cpu("import gateway.cli; gateway.cli.call(['--help'])")
        < 2.0 * cpu("import click, json, shutil, unicodedata") + 0.02
    )


@pytest.mark.parametrize(
    "argv", [["--help"], ["check"], ["profiles"], ["config", "schema"], ["help"], ["status"], ["nonsense"]]
)
def test_no_escape_byte_in_a_pipe(tmp_path, argv):
    path = site(tmp_path, more='[sink.bad]\nkind = "file"\n')
    done = subprocess.run(
        [*COMMAND, "--config", str(path), *argv],
        capture_output=True,
        timeout=60,
        env={**os.environ, "TERM": "xterm-256color"},
    )
    assert b"\x1b" not in done.stdout + done.stderr
    assert b"Traceback" not in done.stderr


def _on_a_terminal(argv, **environment):
    """The exit code and what a terminal of 40 columns gets."""
    master, slave = pty.openpty()
    env = {
        **{key: value for key, value in os.environ.items() if key != "NO_COLOR"},
        "COLUMNS": "40",
        "TERM": "xterm",
        **environment,
    }
    process = subprocess.Popen([*COMMAND, *argv], stdin=slave, stdout=slave, stderr=slave, env=env)
    os.close(slave)
    heard = b""
    while True:
        try:
            data = os.read(master, 65536)
        except OSError:
            break
        if not data:
            break
        heard += data
    os.close(master)
    return process.wait(30), heard.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("lang", ["en", "th"])
def test_forty_columns_and_colour_on_a_terminal(tmp_path, lang):
    path = site(
        tmp_path, more='[sink.bad]\nkind = "fil"\n[device.second]\nbus = "plk"\nprofile = "eastron-sdm121"\nunit = 1\n'
    )
    code, text = _on_a_terminal(["--config", str(path), "--lang", lang, "check"])
    assert code == 78
    assert "\x1b[31m" in text
    plain = re.sub(r"\x1b\[\d+m", "", text)
    for line in plain.splitlines():
        if not line.startswith("  at"):
            words = line.split()
            assert cells(line) <= 40 or len(words) <= 2 or max(map(cells, words)) > 24, line
    _code, bare = _on_a_terminal(["--config", str(path), "check"], NO_COLOR="1")
    assert "\x1b" not in bare
    _code, bare = _on_a_terminal(["--config", str(path), "--no-color", "check"])
    assert "\x1b" not in bare


@pytest.mark.parametrize(
    "argv",
    [
        ["--help"], ["scan", "--help"], ["help", "CG-BUS-02"], ["doctor"], ["profiles", "abb-b23"], ["label"],
        ["config", "show"], ["scan", "/dev/none"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_at_forty_columns_nothing_is_cut(tmp_path, argv):
    """A line is longer than the terminal only where one word is: a path, a command, a hash."""
    lang = "th" if argv[0] in {"--help", "doctor"} else "en"
    _code, text = _on_a_terminal(["--config", str(site(tmp_path)), "--lang", lang, *argv])
    plain = re.sub(r"\x1b\[[\d;]*m", "", text)
    assert "…" not in plain
    assert "Traceback" not in plain
    for line in plain.splitlines():
        words = line.split()
        rigid = (
            len(words) <= 3 or max(map(cells, words)) > 18 or line.startswith(("  at", "next:", "Usage", "การใช้งาน"))
        )
        assert cells(line) <= 40 or rigid or set(line) <= set(" ▀▄█"), line


def test_global_options_stand_anywhere(capsys, tmp_path):
    path = site(tmp_path)
    for argv in (
        ["--json", "--config", path, "check"],
        ["check", "--json", "--config", path],
        ["--json", "check", "--config", path],
    ):
        assert json.loads(said(capsys, *argv).out)["ok"] is True
    assert json.loads(said(capsys, "config", "show", "--json", "--config", path).out)["schema"] == 1


def test_the_language_comes_from_the_environment(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("LC_ALL", "th_TH.UTF-8")
    assert "ไม่พบ" in said(capsys, "--config", tmp_path / "none", "check").out
    monkeypatch.setenv("LC_ALL", "C")
    assert "there is no config" in said(capsys, "--config", tmp_path / "none", "check").out


def test_usage_faults(capsys):
    shown = said(capsys, "chekc")
    assert (shown.code, shown.out) == (2, "")
    assert "you meant `check`" in shown.err
    assert said(capsys, "check", "--nonsense").code == 2
    assert said(capsys, "read").code == 2
    assert said(capsys, "--lang", "de", "check").code == 2
    assert said(capsys, "help", "CG-NOT-99").code == 2


def test_the_version(capsys):
    shown = said(capsys, "--version")
    assert shown.code == 0
    assert re.fullmatch(r"citygate \d+\.\d+\.\d+\n", shown.out)


class _Failing:
    def __init__(self, error):
        self.error = error

    def get(self, _context, _name):
        @click.command()
        def command():
            raise self.error

        return command


@pytest.mark.parametrize(
    ("error", "exit_code", "code"),
    [
        (ValueError("boom"), 70, "CG-SYS-02"),
        (PermissionError(13, "denied", "/dev/ttyS0"), 77, "CG-SYS-05"),
        (FileNotFoundError(2, "no", "x.bin"), 66, "CG-SYS-06"),
        (ConnectionRefusedError(111, "refused"), 69, "CG-SYS-07"),
        (TimeoutError("late"), 69, "CG-SYS-07"),
        (OSError(28, "No space left on device", "/x"), 74, "CG-SYS-08"),
        (Trouble([Fault("CG-CFG-33", {"path": "/x"})], exit_code=78), 78, "CG-CFG-33"),
        (KeyboardInterrupt(), 130, ""),
        (click.Abort(), 130, ""),
        (click.exceptions.Exit(5), 5, ""),
    ],
)
def test_every_failure_has_its_exit_code(capsys, monkeypatch, error, exit_code, code):
    monkeypatch.setattr(type(citygate), "get_command", _Failing(error).get)
    shown = said(capsys, "check")
    assert shown.code == exit_code
    assert "Traceback" not in shown.err
    assert code in shown.err
    assert shown.out == ""


def test_a_bug_names_its_place_and_has_a_traceback_only_when_asked(capsys, monkeypatch):
    monkeypatch.setattr(type(citygate), "get_command", _Failing(ZeroDivisionError("division")).get)
    shown = said(capsys, "check")
    assert "ZeroDivisionError" in shown.err
    assert "test_face.py" in shown.err
    assert "Traceback" in said(capsys, "-vv", "check").err
    told = json.loads(said(capsys, "--json", "check").out)
    assert told["fault"]["code"] == "CG-SYS-02"


def test_port_faults(capsys, monkeypatch):
    from drivers.errors import LinkBusy, LinkLost

    for error, code in (
        (LinkLost("gone", endpoint="/dev/x"), "CG-BUS-01"),
        (LinkBusy("held", endpoint="/dev/x"), "CG-BUS-03"),
    ):
        monkeypatch.setattr(type(citygate), "get_command", _Failing(error).get)
        shown = said(capsys, "check")
        assert shown.code == 69
        assert code in shown.err
        assert "/dev/x" in shown.err


def test_a_closed_pipe_is_no_fault():
    done = subprocess.run(f"{' '.join(COMMAND)} help | head -1", shell=True, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.stdout.startswith("CG-")


def test_main_leaves_with_the_code(monkeypatch):
    with pytest.raises(SystemExit) as left:
        gateway.cli.main(["--version"])
    assert left.value.code == 0


def test_columns_of_text():
    assert cells("abc") == 3
    assert cells("ตู้น้ำ") == 3
    assert padded("ก็", 3) == "ก็  "
    assert padded("7", 3, right=True) == "  7"


@given(st.text("ab กู้ 漢", max_size=80), st.integers(12, 60))
def test_wrapping_keeps_every_word_and_the_width(text, width):
    lines = wrapped(text, width, first=10, rest=2)
    assert " ".join(lines).split() == text.split()
    for number, line in enumerate(lines):
        assert cells(line) <= width - (0 if number else 10) or len(line.split()) <= 1


@given(st.text(max_size=30))
def test_cells_never_exceed_twice_the_characters(text):
    assert 0 <= cells(text) <= 2 * len(unicodedata.normalize("NFC", text)) + 2 * len(text)


def test_a_table_never_cuts_a_value(capsys):
    face = Face()
    face.table([("a" * 50, "b" * 80)], head=("one", "two"))
    out = capsys.readouterr().out
    assert "a" * 50 in out
    assert "b" * 80 in out
