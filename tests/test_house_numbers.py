"""The house numbers of the design, checked on the source itself."""

import ast
import re
import statistics
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("drivers", "gateway", "firmware-sims")
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))

# An exception is a dated line with a reason.
LONG_FUNCTIONS: dict[str, str] = {}
POSITIONAL = {
    "gateway/daemon.py:say": "2026-11-21 a callback of the seam `Say`, called without names",
    "gateway/pipeline.py:bury": "2026-11-21 a callback of the shipper, called without names",
    "gateway/shipper.py:settle": "2026-11-21 a callback of the seam `Settle`, called without names",
    "gateway/sinks/mqtt_outbox.py:settle": "2026-11-21 as the seam `Settle`",
}
BROAD_EXCEPT = {
    "gateway/daemon.py": "2026-11-21 the task supervisor",
    "gateway/cli/__init__.py": "2026-11-21 the command line's last resort: a bug becomes exit 70 with a report",
    "drivers/uart/stream.py": "2026-11-21 the call into a decoder: a foreign decoder's bug is that frame's failure",
}
VAGUE = re.compile(r"(Manager|Helper|Handler|Utils?|Common)$|^(utils?|common|helpers?)$|^[Bb]ase_")


def _tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def _functions(path):
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{path.relative_to(ROOT)}:{node.name}", node


def test_modules_are_short():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {name: n for name, n in lengths.items() if n > 300} == {}
    assert statistics.median(lengths.values()) < 150


def test_functions_are_short():
    long = {}
    for path in SOURCES:
        for name, node in _functions(path):
            body = node.body
            doc = body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)
            first = body[1].lineno if doc and len(body) > 1 else node.lineno
            if (node.end_lineno or 0) - first + 1 > 40 and name not in LONG_FUNCTIONS:
                long[name] = node.end_lineno - first + 1
    assert long == {}


def test_return_types_stand_everywhere():
    assert [name for path in SOURCES for name, node in _functions(path) if node.returns is None] == []


def test_more_than_two_arguments_are_named():
    found = []
    for path in SOURCES:
        for name, node in _functions(path):
            names = [arg.arg for arg in node.args.posonlyargs + node.args.args if arg.arg not in {"self", "cls"}]
            if len(names) > 2 and not node.name.startswith("_") and name not in POSITIONAL:
                found.append(f"{name}({', '.join(names)})")
    assert found == []


def test_broad_excepts_stand_in_three_places():
    places = set()
    for path in SOURCES:
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.ExceptHandler):
                names = (
                    {n.id for n in ast.walk(node.type) if isinstance(n, ast.Name)} if node.type else {"BaseException"}
                )
                tidies_up = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
                if names & {"Exception", "BaseException"} and not tidies_up:
                    places.add(str(path.relative_to(ROOT)))
    assert places <= set(BROAD_EXCEPT)


def test_names_say_something():
    found = [str(path) for path in SOURCES if VAGUE.search(path.stem)]
    for path in SOURCES:
        found += [
            f"{path}:{n.name}" for n in ast.walk(_tree(path)) if isinstance(n, ast.ClassDef) and VAGUE.search(n.name)
        ]
    assert found == []


def test_every_module_has_a_caption():
    assert [str(p) for p in SOURCES if p.read_text(encoding="utf-8").strip() and not ast.get_docstring(_tree(p))] == []


@pytest.mark.parametrize(
    ("hazard", "doors"),
    [
        (
            r"\bserial\.(Serial|serial_for_url)\(|create_connection\(|open_connection\(",
            {"drivers/link.py", "drivers/serial_port.py"},
        ),
        (r"\btime\.(time|time_ns)\(|datetime\.now\(|utcnow\(", {"gateway/clock.py"}),
        (r"shell=True|os\.system\(|\beval\(|\bexec\(|pickle|marshal", set()),
        (r"^\s*assert\b", set()),
    ],
)
def test_one_door_per_hazard(hazard, doors):
    ours = [path for path in SOURCES if path.relative_to(ROOT).parts[0] in {"drivers", "gateway"}]
    found = {str(p.relative_to(ROOT)) for p in ours if re.search(hazard, p.read_text(encoding="utf-8"), re.MULTILINE)}
    assert found <= doors


def test_queues_are_bounded():
    assert [str(p) for p in SOURCES if re.search(r"\bQueue\(\)|\bdeque\(\)", p.read_text(encoding="utf-8"))] == []


def test_development_requirements_agree():
    group = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["dev"]
    lines = (ROOT / "deploy/dev-requirements.txt").read_text().splitlines()
    assert sorted(group) == sorted(line for line in lines if line and not line.startswith("#"))
