"""The catalogue is complete: every code that the source uses, in both languages, in the house's form."""

import ast
import re
from pathlib import Path

import pytest

from gateway.catalogue import Fault, Trouble, codes, entry, worded
from gateway.catalogue.table import LANGUAGES, filled, spoken, word

ROOT = Path(__file__).parents[3]
CODE = re.compile(r"CG-[A-Z]{3}-\d{2}")
SOURCES = sorted(path for room in ("gateway", "drivers") for path in (ROOT / room).rglob("*.py"))
BRACES = re.compile(r"\{([a-z_]+)\}")
THAI = re.compile(r"[\u0e00-\u0e7f]")


def _texts(row):
    return [row.fact, *row.likely, row.do, row.more]


def _used():
    return {
        (code, path.relative_to(ROOT)) for path in SOURCES for code in CODE.findall(path.read_text(encoding="utf-8"))
    }


def test_every_code_of_the_source_is_catalogued():
    assert {f"{code} in {path}" for code, path in _used() if entry(code) is None} == set()


def test_the_source_uses_many_codes():
    assert len({code for code, _path in _used()}) > 60


@pytest.mark.parametrize("code", sorted(codes()))
def test_an_entry_is_complete(code):
    row = codes()[code]
    assert CODE.fullmatch(code)
    assert len(row.likely) <= 3
    for text in _texts(row):
        assert set(text) == set(LANGUAGES), text
        for lang in LANGUAGES:
            assert text[lang].strip() == text[lang] != "", text
            assert "\n" not in text[lang]
            assert len(text[lang]) <= 220, text[lang]
        assert not THAI.search(text["en"]), text
    assert all(THAI.search(text["th"]) for text in (row.fact, row.more))


@pytest.mark.parametrize("code", sorted(codes()))
def test_the_fact_is_one_sentence_and_blames_nobody(code):
    row = codes()[code]
    fact = row.fact["en"]
    assert not fact.endswith(".")
    assert not re.search(r"unexpected|invalid input|you (have|did|failed)|oops|sorry|please|!", fact, re.IGNORECASE)
    assert set(BRACES.findall(fact)) == set(BRACES.findall(row.fact["th"])), "both languages name the same things"


def _calls():
    """Every `draft.add("CG-...", ..., key=...)` of the config's judges: (code, named arguments, where)."""
    for path in (ROOT / "gateway/config").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "add" and node.args:
                first = node.args[0]
                if isinstance(first, ast.Constant) and CODE.fullmatch(str(first.value)):
                    names = {word.arg for word in node.keywords}
                    yield first.value, names, f"{path.name}:{node.lineno}"


def test_every_fact_gets_all_its_words():
    calls = list(_calls())
    assert len(calls) > 50
    for code, names, where in calls:
        if None not in names:  # **args: shown by the corpus of broken configs
            assert set(BRACES.findall(codes()[code].fact["en"])) <= names, f"{code} at {where}"


def test_speaking():
    fault = Fault("CG-CFG-01", {"key": "buad", "table": "[bus.b]"}, at="a.toml:3", nearest="line")
    told = spoken(fault, "en")
    assert told["fact"] == "unknown key `buad` in [bus.b]"
    assert told["likely"] == ["you meant `line`"]
    assert told["more"] == "citygate help CG-CFG-01"
    assert told["level"] == "error"
    assert "ไม่รู้จัก" in spoken(fault, "th")["fact"]
    assert set(told) == {"code", "level", "fact", "at", "likely", "do", "more"}


def test_a_libraries_fact_replaces_ours_and_unknown_codes_still_speak():
    assert spoken(Fault("CG-MQT-01", fact="name not found"), "th")["fact"] == "name not found"
    told = spoken(Fault("CG-XXX-99"), "en")
    assert (told["fact"], told["likely"], told["do"]) == ("CG-XXX-99", [], "")


def test_words_and_braces():
    assert word("@integer", "en") == "a whole number"
    assert word("@nothing", "en") == "nothing"
    assert filled("{a} {b}", {"a": "@integer"}, lang="en") == "a whole number ?"


def test_trouble_carries_its_faults():
    trouble = Trouble([Fault("CG-SYS-05", {"path": "/x"})], exit_code=77)
    assert (trouble.exit_code, len(trouble.faults)) == (77, 1)
    assert "CG-SYS-05" in str(trouble)


def test_the_page_of_codes_is_in_step():
    from gateway.catalogue.page import page

    written = (ROOT / "docs/errors.md").read_text(encoding="utf-8")
    assert written == page(), "run: python -m gateway.catalogue.page docs/errors.md"
    assert written.count("\n### CG-") == len(codes())


def test_an_events_text_is_thai_where_thai_is_asked_for():
    text = worded("CG-MQT-01", name="city", seen="connection refused")
    assert text["en"] == "city: the broker cannot be reached (connection refused)"
    assert text["th"].startswith("city: ติดต่อโบรกเกอร์ไม่ได้ (")
    assert worded("CG-MQT-01", name="city", seen="", over=True)["th"] == "city: กลับเป็นปกติแล้ว"
