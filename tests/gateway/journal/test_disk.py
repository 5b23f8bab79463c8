"""The real disk: what it writes, renames and refuses."""

import errno
import os

import pytest

from gateway.journal.disk import RealDisk
from gateway.journal.errors import JournalBusy


def test_files_are_written_read_renamed_and_removed(tmp_path):
    disk = RealDisk(tmp_path / "a" / "b")
    file = disk.create("x")
    file.write(b"hello", offset=3)
    file.sync()
    file.close()
    assert disk.size("x") == 8
    assert disk.read("x", offset=0, size=100) == b"\0\0\0hello"
    again = disk.open("x")
    again.write(b"H", offset=3)
    again.close()
    disk.rename("x", "quarantine/x.1")
    disk.sync_folder()
    assert disk.names() == []
    assert (tmp_path / "a/b/quarantine/x.1").read_bytes() == b"\0\0\0Hello"
    disk.rename("quarantine/x.1", "y")
    disk.remove("y")
    disk.remove("y")
    assert disk.names() == []
    assert str(disk) == str(tmp_path / "a/b")


def test_only_regular_files_are_ours(tmp_path):
    (tmp_path / "folder.seg").mkdir()
    (tmp_path / "link.seg").symlink_to("/etc/hostname")
    (tmp_path / "file.seg").write_bytes(b"")
    assert RealDisk(tmp_path).names() == ["file.seg"]


def test_a_write_to_a_full_device_raises():
    disk = RealDisk.__new__(RealDisk)
    from pathlib import Path

    disk._folder = Path("/dev")
    file = disk.open("full")
    with pytest.raises(OSError, match="No space") as caught:
        file.write(b"x", offset=0)
    assert caught.value.errno == errno.ENOSPC
    file.close()


def test_no_descriptor_is_left_behind(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    disk = RealDisk(tmp_path)
    disk.lock()
    other = RealDisk(tmp_path)
    with pytest.raises(JournalBusy):
        other.lock()
    disk.create("x").close()
    disk.read("x", offset=0, size=1)
    disk.sync_folder()
    disk.unlock()
    disk.unlock()
    other.lock()
    other.unlock()
    assert len(os.listdir("/proc/self/fd")) == before
