"""An identity of its own for every machine: made once, the same after a reinstall, another one on a copied disk."""

import os
import re
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy/deb/identity.sh"


@pytest.fixture
def machine(tmp_path):
    """`machine(id)` runs the script on a root with this machine-id; returns the config's text and what was said."""
    (tmp_path / "etc").mkdir()

    def run(machine_id):
        (tmp_path / "etc/machine-id").write_text(machine_id + "\n")
        done = subprocess.run([SCRIPT, tmp_path], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        return (tmp_path / "etc/citygate/gateway.toml").read_text(), done.stdout

    run.root = tmp_path
    return run


def test_a_fresh_machine_gets_an_id_and_keeps_it(machine):
    first, _said = machine("0123456789abcdef0123456789abcdef")
    assert re.search(r'^id = "gw-[0-9a-f]{8}"$', first, re.MULTILINE)
    assert machine("0123456789abcdef0123456789abcdef") == (first, "")
    path = machine.root / "etc/citygate/gateway.toml"
    assert path.stat().st_mode & 0o777 == 0o640
    path.unlink()
    assert machine("0123456789abcdef0123456789abcdef")[0] == first, "a reinstall gives the same one"


def test_a_copied_disk_gets_another_one_and_sends_nothing_in_the_wrong_name(machine):
    first, _said = machine("a" * 32)
    path = machine.root / "etc/citygate/gateway.toml"
    path.write_text(first + '# mine\n[bus.x]\nkind = "serial"\n')
    journal = machine.root / "var/lib/citygate/journal"
    journal.mkdir(parents=True)
    (journal / "segment").write_text("records")
    second, told = machine("b" * 32)
    assert "copy of another gateway" in told
    old, new = (re.search(r'"(gw-[0-9a-f]{8})"', text)[1] for text in (first, second))
    assert old != new
    assert second == (first + '# mine\n[bus.x]\nkind = "serial"\n').replace(old, new)
    assert not journal.exists()
    kept = list(journal.parent.glob("journal.of-another-machine.*"))
    assert [(folder / "segment").read_text() for folder in kept] == ["records"]


def test_a_state_dir_of_its_own_and_copies_of_copies(machine):
    """Wherever the records lie, they are put aside; a clock that stands still mixes no two of them."""
    first, _said = machine("a" * 32)
    path = machine.root / "etc/citygate/gateway.toml"
    path.write_text(first.replace("[gateway]\n", "[gateway]\nstate_dir = '/data/city'  # the big disk\n"))
    for number in range(3):
        journal = machine.root / "data/city/journal"
        journal.mkdir(parents=True)
        (journal / "segment").write_text(f"records {number}")
        machine(f"{number}" * 32)
        assert not journal.exists()
    kept = sorted((machine.root / "data/city").glob("journal.of-another-machine.*/*"))
    assert sorted(file.read_text() for file in kept) == ["records 0", "records 1", "records 2"]


def test_a_machine_id_that_is_new_at_each_start_changes_nothing(machine):
    first, _said = machine("a" * 32)
    (machine.root / "etc/machine-id").write_text("b" * 32 + "\n")
    (machine.root / "var/lib/citygate/journal").mkdir(parents=True)
    mount = 'mount --bind "$1/etc/machine-id" "$1/etc/machine-id" || exit 77; exec "$0" "$1"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", mount, SCRIPT, machine.root], capture_output=True, text=True, timeout=30
    )
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"no mounts here: {done.stderr}")
    assert done.returncode == 0, done.stderr
    assert "new at each start" in done.stdout
    assert (machine.root / "etc/citygate/gateway.toml").read_text() == first
    assert (machine.root / "var/lib/citygate/journal").is_dir()


def test_an_id_that_a_person_chose_is_never_touched(machine):
    machine("a" * 32)
    path = machine.root / "etc/citygate/gateway.toml"
    path.write_text('schema = 1\n[gateway]\nid = "kkc-0412"\ncity = "khon-kaen"\n')
    assert machine("b" * 32) == ('schema = 1\n[gateway]\nid = "kkc-0412"\ncity = "khon-kaen"\n', "")


def test_what_it_writes_is_a_good_config(machine, capsys):
    from cli_desk import said

    machine("c" * 32)
    path = machine.root / "etc/citygate/gateway.toml"
    path.write_text(path.read_text() + f'state_dir = "{machine.root}/state"\n')
    os.mkdir(machine.root / "state")
    shown = said(capsys, "--config", path, "check")
    assert shown.code == 0, shown


def test_an_image_without_a_machine_id_gets_its_real_id_at_the_first_start(machine):
    built, _said = machine("uninitialized")
    assert machine("") == (built, ""), "an upgrade inside the image leaves it alone"
    first, told = machine("d" * 32)
    assert "copy" in told
    assert built != first
    assert machine("d" * 32) == (first, "")
