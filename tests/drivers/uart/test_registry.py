"""Families are found by file, and in other packages by entry point; nothing is imported before it is used."""

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from drivers.errors import ProfileError
from drivers.uart import plantower, registry


@pytest.fixture
def foreign(monkeypatch):
    """Entry points of another package, one of them with a shipped name."""
    entries = [
        EntryPoint("acme", "drivers.uart.plantower:FAMILY", registry.GROUP),
        EntryPoint("nova", "acme.evil:FAMILY", registry.GROUP),
        EntryPoint("gone", "acme_is_not_there:FAMILY", registry.GROUP),
        EntryPoint("odd", "drivers.uart.plantower:HEAD", registry.GROUP),
    ]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: entries if group == registry.GROUP else [])
    registry.families.cache_clear()
    registry.family.cache_clear()
    yield
    registry.families.cache_clear()
    registry.family.cache_clear()


def test_shipped_families_name_themselves():
    for name in registry.families():
        assert registry.family(name).name == name


def test_foreign_families_are_added_and_take_over_nothing(foreign):
    assert registry.family("acme") is plantower.FAMILY
    assert registry.families()["nova"] == "drivers.uart.nova:FAMILY"


@pytest.mark.parametrize(
    ("name", "says"), [("gone", "cannot be loaded"), ("odd", "is not a Family"), ("nix", "no family")]
)
def test_faults_are_named(foreign, name, says):
    with pytest.raises(ProfileError, match=says):
        registry.family(name)


def test_listing_imports_no_family():
    code = (
        "import sys; from drivers.uart.registry import families; families();"
        "print([m for m in sys.modules if m.startswith('drivers.uart.') and m.split('.')[-1] in families()])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
