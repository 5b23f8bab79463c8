"""The documents tell the truth: files they name exist, commands and configs they show work."""

import re
import subprocess
import sys
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from gateway.config import Sink
from gateway.config.load import load
from gateway.ledger import FATES
from gateway.sinks.mqtt_reasons import PUBACK, Act

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
FOLDERS = ("drivers/", "gateway/", "firmware-sims/", "config/", "deploy/", "tests/", "docs/")
ROOMS = ("", "gateway/", "gateway/sinks/", "drivers/", "drivers/modbus/", "drivers/uart/")  # short names in a table row


def named(page):
    """Files and folders of this project that a page names in code quotes."""
    for quoted in re.findall(r"`([\w./-]+)`", page.read_text(encoding="utf-8")):
        if quoted.startswith(FOLDERS) or (re.fullmatch(r"[\w/-]+\.py", quoted) and page.name == "architecture.md"):
            yield quoted


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_exist(page):
    missing = [name for name in named(page) if not any((ROOT / room / name).exists() for room in ROOMS)]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_technicians_config_passes_check(tmp_path):
    block = re.search(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)[1]
    (tmp_path / "gateway.toml").write_text(block, encoding="utf-8")
    assert list(load(tmp_path / "gateway.toml").config.device) == ["main-meter"]


def test_the_page_of_delivery_names_every_fate_and_every_answer_of_a_broker():
    text = (ROOT / "docs/delivery.md").read_text(encoding="utf-8")
    assert [fate for fate in (*FATES, "waiting") if f"\n| {fate} |" not in text] == []
    rows = re.findall(r"^\| ((?:0x[0-9a-f]{2}(?:, )?)+(?:unknown)?) \| (.*) \|$", text, re.MULTILINE)
    told = {int(code, 16): words for codes, words in rows for code in re.findall("0x[0-9a-f]{2}", codes)}
    words = {
        Act.DELIVERED: "delivered", Act.UNHEARD: "unheard", Act.RETRY: "tried three times, then dead",
        Act.PARK: "its topic waits", Act.DEAD: "dead", Act.PAUSE: "the whole sink pauses",
    }  # fmt: skip
    assert {
        code: told.get(code, "").startswith(words[verdict.act]) for code, verdict in PUBACK.items()
    } == dict.fromkeys(PUBACK, True)
    assert set(told) == set(PUBACK)


def test_the_page_of_delivery_names_every_kind_of_sink():
    text = (ROOT / "docs/delivery.md").read_text(encoding="utf-8")
    kinds = set(get_args(get_type_hints(Sink)["kind"])) - {"memory"}
    assert set(re.findall(r"^\| `([a-z-]+)` \|", text, re.MULTILINE)) == kinds


def test_the_list_of_decisions_is_whole():
    folder = ROOT / "docs/decisions"
    listed = re.findall(r"\((\d{4}-[a-z0-9-]+\.md)\)", (folder / "README.md").read_text(encoding="utf-8"))
    assert listed == sorted(page.name for page in folder.glob("[0-9]*.md"))


def test_every_verb_in_the_readme_exists():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    wanted = set(re.findall(r"`(?:sudo -u citygate )?citygate ([a-z]+)", text))
    shown = subprocess.run(
        [sys.executable, "-m", "gateway", "--help"], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert wanted
    assert wanted <= set(re.findall(r"^  ([a-z]+)  ", shown, re.MULTILINE))
