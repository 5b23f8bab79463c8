"""English and Thai: every help text, every usage fault and every sentence of the command line stands in both."""

import ast
import re
import tomllib
from pathlib import Path

import click
import pytest
from cli_desk import said

from gateway.cli.verbs import VERBS, citygate
from gateway.cli.words import thai

ROOT = Path(__file__).parents[3]
THAI = re.compile(r"[\u0e00-\u0e7f]")
OWN = {"Options", "Commands", "Verbs", "Show this message and exit.", "default", "required"}


def helps():
    """Every help text of every verb, as one line each."""

    def walk(command):
        yield command.help
        yield from (parameter.help for parameter in command.params if getattr(parameter, "help", None))
        for inner in getattr(command, "commands", {}).values():
            yield from walk(inner)

    context = click.Context(citygate)
    yield from walk(citygate)
    for verb in citygate.list_commands(context):
        yield from walk(citygate.get_command(context, verb))


def test_every_help_text_stands_in_thai_and_nothing_else_does():
    used = {" ".join(text.split()) for text in helps()} | OWN
    table = tomllib.loads((ROOT / "gateway/cli/thai.toml").read_text(encoding="utf-8"))
    assert used - set(table) == set(), "add these to gateway/cli/thai.toml"
    assert set(table) - used == set(), "nobody uses these any more"
    assert [text for text in table.values() if not THAI.search(text)] == []


@pytest.mark.parametrize("argv", [["--lang", "th", "scan", "--help"], ["scan", "--lang", "th", "--help"]])
def test_a_help_page_in_thai(capsys, argv):
    shown = said(capsys, *argv).out
    assert shown.startswith("การใช้งาน: citygate scan")
    for text in ("ตัวเลือก:", "ค้นหาอุปกรณ์", "[ค่าเริ่มต้น: 0.3;", "แสดงข้อความนี้"):
        assert text in shown, shown
    rest = re.sub(r"--?[\w-]+|[A-Z]+|\"[^\"]*\"|citygate scan|0\.05<=x<=5\.0", "", shown)
    assert not re.search(r"[a-z]{4,}", rest), rest


def test_the_language_of_help_comes_from_the_environment_too(capsys, monkeypatch):
    monkeypatch.setenv("LC_ALL", "th_TH.UTF-8")
    assert "ตัวเลือก" in said(capsys, "read", "--help").out
    assert "Options" in said(capsys, "--lang", "en", "read", "--help").out


@pytest.mark.parametrize(
    ("argv", "code", "near"),
    [
        (["chekc"], "CG-USE-01", "check"), (["check", "--jsn"], "CG-USE-02", "--json"), (["read"], "CG-USE-03", ""),
        (["--lang", "de"], "CG-USE-04", ""), (["scan", "/dev/x", "--timeout", "x"], "CG-USE-04", ""),
        (["scan", "/dev/x", "--ids", "9-1"], "CG-USE-01", ""), (["probe", "x", "--value", "y"], "CG-USE-01", ""),
        (["help", "CG-NOT-99"], "CG-USE-01", ""),
        (["probe", "/dev/x/3", "--value", "1", "--span", "9"], "CG-USE-01", ""),
    ],
)  # fmt: skip
@pytest.mark.parametrize("lang", ["en", "th"])
def test_a_call_that_cannot_be_understood(capsys, argv, code, near, lang):
    shown = said(capsys, "--lang", lang, *argv)
    assert (shown.code, shown.out) == (2, "")
    assert f"error[{code}]" in shown.err
    assert near in shown.err
    assert "--help" in shown.err
    if argv[0] != "--lang":
        assert bool(THAI.search(shown.err.splitlines()[0])) == (lang == "th")


TALK = {"data", "prose", "talk"}


def spoken_alone():
    """Sentences for people that are written in one language only: literals with words that went past `pick`."""
    for path in sorted((ROOT / "gateway/cli").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "UsageError":
                yield f"{path.name}:{node.lineno}: UsageError, not Misuse"
            if not (isinstance(node, ast.Call) and getattr(node.func, "attr", "") in TALK and node.args):
                continue
            words = [
                str(part.value)
                for top in node.args
                for part in ([top] if isinstance(top, ast.Constant) else getattr(top, "values", []))
                if isinstance(part, ast.Constant)
            ]
            text = re.sub(r"citygate [a-z]+|systemctl [a-z]+|SHA-256|--[a-z]+", "", " ".join(words))
            if re.search(r"[A-Za-z]{3,} [a-z]{3,}", text):
                yield f"{path.name}:{node.lineno}: {text}"


def test_no_sentence_is_written_in_one_language_only():
    assert list(spoken_alone()) == []


def test_words_without_thai_stay_as_they_are():
    assert thai("no such text") == "no such text"
    assert all(THAI.search(row[2]) for row in VERBS.values())
