"""docs/figures.md is in step with the product, and names every figure and rule that the product can give."""

import ast
import re
from pathlib import Path

import pytest

from drivers.points import units
from gateway.cli.figures_page import figures, page

ROOT = Path(__file__).parents[3]
SOURCES = [*(ROOT / "gateway/figures").glob("*.py"), *(ROOT / "gateway/window").glob("*.py")]


def test_the_page_is_in_step():
    written = (ROOT / "docs/figures.md").read_text(encoding="utf-8")
    assert written == page(), "run: python -m gateway.cli.figures_page docs/figures.md"


def _text(node):
    """A string constant, or an f-string with a hole for each variable; None for what only a run can tell."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in node.values)
    return None


def _given():
    """Every figure that the source gives: (name, rule or None, where)."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"told", "Indicator"} and node.args:
                name = _text(node.args[0])
                rules = [word.value for word in node.keywords if word.arg == "rule"] + node.args[2:3]
                if name is not None:
                    yield name, _text(rules[0]) if rules else None, f"{path.name}:{node.lineno}"


def _row(name):
    """The row of a name of the source: its variable parts stand for the row's braces."""
    shape = re.sub(r"\{[a-z]+\}", "*", "\n".join(figures())).split("\n")
    exact = [row for row, text in zip(figures(), shape, strict=True) if name in {text, row}]
    return exact or [row for row in figures() if re.fullmatch(re.sub(r"\{[a-z]+\}", "[a-z0-9_]+", row), name)]


GIVEN = sorted(set(_given()), key=str)


@pytest.mark.parametrize(("name", "rule", "where"), GIVEN, ids=str)
def test_every_figure_of_the_source_has_a_row(name, rule, where):
    rows = _row(name)
    assert rows, f"{where}: put {name} into gateway/catalogue/figures.toml"
    if rule is not None and "*" not in rule:
        assert any(rule in figures()[row]["rules"] for row in rows), f"{where}: {rule}"


@pytest.mark.parametrize(("name", "rule"), [("aqi_th_pm10", "TH2023"), ("aqi_th_2018_pm10", "TH2018")])
def test_the_nearest_row_of_an_index_has_its_rule(name, rule):
    nearest = max(_row(name), key=len)
    assert figures()[nearest]["rules"] == [rule]


def test_the_source_gives_many():
    assert len(GIVEN) > 30


@pytest.mark.parametrize("name", sorted(figures()))
def test_a_row_is_complete(name):
    row = figures()[name]
    assert set(row) == {"steps", "unit", "rules", "en", "source"}
    assert row["rules"]
    assert row["unit"] in {*units(), "1/h", "m/h", "mm/h", "1/km", "kW", "kvar"}
