"""A disk for tests: it forgets, tears and reorders what was not synced, and refuses the n-th operation."""

from __future__ import annotations

import errno
import os
from concurrent.futures import Executor, Future

SECTOR = 512


class Inline(Executor):
    """Runs the work at once, so that a test is one thread and one order of events."""

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001  handed to the waiter
            future.set_exception(error)
        return future


class Inode:
    def __init__(self, durable=b""):
        self.durable = bytearray(durable)
        self.live = bytearray(durable)
        self.pending = []  # (offset, data) not yet synced

    def copy(self):
        other = Inode()
        other.durable, other.live, other.pending = bytearray(self.durable), bytearray(self.live), list(self.pending)
        return other

    def write(self, offset, data):
        _put(self.live, offset, data)
        self.pending.append((offset, bytes(data)))

    def sync(self):
        for offset, data in self.pending:
            _put(self.durable, offset, data)
        self.pending.clear()


def _put(buffer, offset, data):
    if len(buffer) < offset + len(data):
        buffer.extend(bytes(offset + len(data) - len(buffer)))
    buffer[offset : offset + len(data)] = data


class SimFile:
    def __init__(self, disk, name, inode):
        self.disk, self.name, self.inode, self.failed, self.closed = disk, name, inode, False, False

    def _use(self, op):
        assert not self.closed, "used after close"
        assert not self.failed, f"{op} on a descriptor that failed"
        try:
            self.disk.step(op, self.name)
        except OSError:
            self.failed = True
            raise

    def write(self, data, *, offset):
        try:
            self._use("write")
        except OSError:
            half = self.disk.rng.randrange(len(data) + 1) if self.disk.rng else 0
            self.inode.write(offset, data[:half])  # a write that fails may have written a part
            raise
        self.inode.write(offset, data)
        self.disk.done()

    def sync(self):
        try:
            self._use("sync")
        except OSError:  # the kernel marks the lost pages clean: they read well until the power goes
            self.inode.pending.clear()
            raise
        self.inode.sync()
        self.disk.done()

    def close(self):
        assert not self.closed
        self.closed = True
        self.disk.open_files -= 1


class SimDisk:
    """One folder in memory. `fault(op, name)` may return an errno; `watch()` is called after every change."""

    def __init__(self):
        self.live, self.durable, self.changes = {}, {}, []
        self.fault = None
        self.watch = None
        self.unreadable = set()  # (name, offset of a sector)
        self.rng = None
        self.locked = False
        self.ops = 0
        self.read_bytes = 0
        self.syncs = 0
        self.open_files = 0

    def step(self, op, name):
        self.ops += 1
        self.syncs += op == "sync"
        code = self.fault(op, name) if self.fault else None
        if code:
            raise OSError(code, os.strerror(code), name)

    def done(self):
        if self.watch:
            self.watch()

    def lock(self):
        assert not self.locked
        self.locked = True

    def unlock(self):
        self.locked = False

    def names(self):
        self.step("names", "")
        return sorted(name for name in self.live if "/" not in name)

    def _inode(self, name):
        if name not in self.live:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return self.live[name]

    def size(self, name):
        self.step("size", name)
        return len(self._inode(name).live)

    def read(self, name, *, offset, size):
        self.step("read", name)
        if any(at < offset + size and offset < at + SECTOR for bad, at in self.unreadable if bad == name):
            raise OSError(errno.EIO, os.strerror(errno.EIO), name)
        data = bytes(self._inode(name).live[offset : offset + size])
        self.read_bytes += len(data)
        return data

    def create(self, name):
        self.step("create", name)
        self.live[name] = Inode()
        self.changes.append(("link", name, self.live[name]))
        self.open_files += 1
        self.done()
        return SimFile(self, name, self.live[name])

    def open(self, name):
        self.step("open", name)
        inode = self._inode(name)
        self.open_files += 1
        return SimFile(self, name, inode)

    def rename(self, old, new):
        self.step("rename", old)
        inode = self._inode(old)
        del self.live[old]
        self.live[new] = inode
        self.changes.append(("move", old, new, inode))
        self.done()

    def remove(self, name):
        self.step("remove", name)
        if self.live.pop(name, None) is not None:
            self.changes.append(("unlink", name))
            self.done()

    def sync_folder(self):
        self.step("sync_folder", "")
        self._apply(self.changes)
        self.changes = []
        self.done()

    def _apply(self, changes):
        for kind, name, *rest in changes:
            if kind == "link":
                self.durable[name] = rest[0]
            elif kind == "unlink":
                self.durable.pop(name, None)
            else:
                self.durable.pop(name, None)
                self.durable[rest[0]] = rest[1]

    def snapshot(self):
        """A copy with everything that is pending still pending; no owner, no faults."""
        other = SimDisk()
        copies = {}

        def twin(inode):
            if id(inode) not in copies:
                copies[id(inode)] = inode.copy()
            return copies[id(inode)]

        other.live = {name: twin(inode) for name, inode in self.live.items()}
        other.durable = {name: twin(inode) for name, inode in self.durable.items()}
        other.changes = [tuple(twin(x) if isinstance(x, Inode) else x for x in change) for change in self.changes]
        return other

    def kill(self):
        """The process dies; the page cache lives on."""
        return self.snapshot()

    def power_cut(self, variant, rng):
        """The machine dies. Variants: "none" of what was pending is kept, "all" of it, "torn" (all, the last write of
        each file cut at a sector), "prefix" (all up to a moment), "subset" (any writes, any sectors of them, any order
        of the folder's changes)."""
        other = self.snapshot()
        other._apply(_chosen(other.changes, variant, rng))
        other.changes = []
        for inode in {id(i): i for i in (*other.durable.values(), *other.live.values())}.values():
            for offset, data in _survivors(inode.pending, variant, rng):
                _put(inode.durable, offset, data)
            inode.pending = []
            inode.live = bytearray(inode.durable)
        other.live = dict(other.durable)
        return other


VARIANTS = ("none", "all", "torn", "prefix", "subset", "subset")


def _chosen(changes, variant, rng):
    if variant == "none":
        return []
    if variant in {"all", "torn"}:
        return changes
    if variant == "prefix":
        return changes[: rng.randrange(len(changes) + 1)]
    return [change for change in changes if rng.random() < 0.5]


def _sectors(offset, data):
    at = offset
    while at < offset + len(data):
        end = min(at // SECTOR * SECTOR + SECTOR, offset + len(data))
        yield at, data[at - offset : end - offset]
        at = end


def _survivors(pending, variant, rng):
    if variant == "none" or not pending:
        return []
    if variant == "all":
        return pending
    if variant == "prefix":
        return pending[: rng.randrange(len(pending) + 1)]
    if variant == "torn":
        last = list(_sectors(*pending[-1]))
        return [*pending[:-1], *last[: rng.randrange(len(last) + 1)]]
    return [part for write in pending for part in _sectors(*write) if rng.random() < 0.5]
