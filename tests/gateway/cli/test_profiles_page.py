"""The device pages are in step with the profiles, and say what a technician needs."""

import tomllib
from pathlib import Path

import pytest

from drivers.profile import load, shipped
from gateway.cli.profiles_page import HEAD, index, page, pages, write

DOCS = Path(__file__).parents[3] / "docs" / "devices"


def test_the_pages_are_in_step():
    written = {path.name: path.read_text(encoding="utf-8") for path in DOCS.glob("*.md")}
    made = pages()
    stale = sorted(name for name in {*written, *made} if written.get(name) != made.get(name))
    assert stale == [], "run: python -m gateway.cli.profiles_page docs/devices"


@pytest.mark.parametrize("name", sorted(shipped()))
def test_a_page_says_it_all(name):
    profile = load(name)
    text = page(profile)
    for row in profile.rows:
        assert f"`{row.point}`" in text
    for needed in (*profile.quirks, *profile.wire.lines, profile.wire.note, profile.source, profile.proven):
        assert needed in text
    for line in text.splitlines():
        if line.startswith("| "):
            assert line.endswith(" |")
    device = tomllib.loads(text.split("```toml\n")[1].split("```")[0])["device"]
    ((_, config),) = device.items()
    assert config["profile"] == name
    assert ("unit" in config) == (profile.speaks == "modbus")


def test_a_device_that_answers_elsewhere_is_asked_there():
    assert "unit = 254" in page(load("senseair-s8"))
    assert "unit = 144" in page(load("ecowitt-ws90"))


def test_tables_have_as_many_cells_as_their_head():
    for text in pages().values():
        width = None
        for line in text.splitlines():
            cells = line.replace("\\|", "").count("|")
            width = (cells if width is None else width) if line.startswith("|") else None
            assert width in {None, cells}, line


def test_the_index_names_every_profile():
    profiles = [load(name) for name in shipped()]
    assert all(f"({profile.id}.md)" in index(profiles) for profile in profiles)


def test_only_made_pages_are_removed(tmp_path):
    (tmp_path / "gone-device.md").write_text(HEAD + "\n")
    (tmp_path / "notes.md").write_text("by hand\n")
    write(tmp_path)
    assert not (tmp_path / "gone-device.md").exists()
    assert (tmp_path / "notes.md").exists()
    assert len(list(tmp_path.glob("*.md"))) == len(pages()) + 1
