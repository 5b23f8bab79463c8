"""The layout of a segment and its checksums."""

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.journal import Entry, checksum
from gateway.journal.checksum import CRC32, CRC32C, KINDS, extender
from gateway.journal.errors import FutureFormat
from gateway.journal.segment import (
    COMMIT,
    ENTRY,
    HEADER_BYTES,
    HOLE,
    MARK,
    Segment,
    decode_mark,
    encode_base,
    encode_commit,
    file_name,
    generation_of,
    parse_header,
)

UUID = bytes(range(16))


def segment(*, generation=5, first=1000, kind=CRC32C, uuid=UUID):
    return Segment(file_name(generation), uuid, generation, first, -7, 1 << 22, kind)


ENTRIES = st.lists(st.tuples(st.integers(0, 65535), st.binary(max_size=200)), max_size=20).map(
    lambda parts: [Entry(1000 + n, kind, payload) for n, (kind, payload) in enumerate(parts)]
)
MARKS = st.dictionaries(st.text(min_size=1, max_size=20), st.binary(max_size=50), max_size=4)


@given(ENTRIES, MARKS, st.sampled_from(KINDS), st.binary(max_size=100))
def test_what_is_encoded_is_found(entries, marks, kind, leftover):
    ours = segment(kind=kind)
    data = encode_commit(ours, entries, marks=marks, end=1000 + len(entries))
    found = list(ours.scan(data + leftover, base=64, whole=True))
    assert [Entry(f.position, f.kind, f.payload) for f in found if f.role == ENTRY] == entries
    assert dict(decode_mark(f.payload) for f in found if f.role == MARK) == marks
    assert found[-1].role == COMMIT or leftover[:4] == ours.tag
    assert [f.offset for f in found] == [64, *(f.end for f in found)][: len(found)]


@given(ENTRIES, st.sampled_from(KINDS))
def test_i3_records_of_another_life_or_journal_are_none(entries, kind):
    data = encode_commit(segment(kind=kind), entries, marks={"m": b"x"}, end=1000 + len(entries))
    for other in (segment(generation=6, kind=kind), segment(uuid=bytes(16), kind=kind)):
        assert list(other.scan(data, base=64, whole=True)) == []


@given(ENTRIES.filter(bool), st.data())
def test_i5_a_hole_ends_at_the_next_record(entries, data):
    ours = segment()
    blob = bytearray(encode_commit(ours, entries, marks={}, end=1000 + len(entries)))
    starts = [f.offset for f in ours.scan(bytes(blob), base=0, whole=True)]
    hit = data.draw(st.integers(0, len(entries) - 1))
    at = data.draw(st.integers(starts[hit] + 4, starts[hit + 1] - 1))
    blob[at] ^= data.draw(st.integers(1, 255))
    found = list(ours.scan(bytes(blob), base=0, whole=True))
    assert [(f.offset, f.end) for f in found if f.role == HOLE] == [(starts[hit], starts[hit + 1])]
    assert [f.position for f in found if f.role == ENTRY] == [e.position for e in entries if e.position != 1000 + hit]


@given(ENTRIES.filter(bool), st.data())
def test_i5_a_damaged_tag_costs_nothing(entries, data):
    ours = segment()
    blob = bytearray(encode_commit(ours, entries, marks={}, end=1000 + len(entries)))
    starts = [f.offset for f in ours.scan(bytes(blob), base=0, whole=True)]
    blob[data.draw(st.sampled_from(starts)) + data.draw(st.integers(0, 3))] ^= 0x55
    assert [f.position for f in ours.scan(bytes(blob), base=0, whole=True) if f.role == ENTRY] == [
        e.position for e in entries
    ]


def test_the_header_is_little_endian_and_64_bytes():
    """The layout of docs/journal.md, spelt out by hand."""
    head = segment().header()
    assert len(head) == HEADER_BYTES == 64
    by_hand = b"CGJRNL\r\n" + struct.pack("<HBB", 2, 1, 0) + UUID + struct.pack("<QQqI4x", 5, 1000, -7, 1 << 22)
    assert head == by_hand + struct.pack("<I", zlib.crc32(by_hand))
    assert parse_header("x", head) == Segment("x", UUID, 5, 1000, -7, 1 << 22, CRC32C)


def test_a_record_by_hand():
    ours = segment(kind=CRC32)
    identity = UUID + struct.pack("<Q", 5)
    covered = struct.pack("<IQHBB", 3, 1000, 2, 1, 0) + b"abc"
    crc = zlib.crc32(covered, zlib.crc32(b"seed" + identity))
    by_hand = struct.pack("<II", zlib.crc32(b"tag" + identity), crc) + covered
    assert ours.record(ENTRY, kind=2, position=1000, payload=b"abc") == by_hand


@pytest.mark.parametrize("at", range(HEADER_BYTES))
def test_i6_a_damaged_header_is_known_as_such(at):
    head = bytearray(segment().header())
    head[at] ^= 0x10
    assert parse_header("x", bytes(head)) is None


def test_i6_a_newer_format_is_told():
    head = segment().header()[:8] + struct.pack("<H", 9) + bytes(50)
    with pytest.raises(FutureFormat) as caught:
        parse_header("a.seg", head + struct.pack("<I", zlib.crc32(head)))
    assert (caught.value.segment, caught.value.version, caught.value.known) == ("a.seg", 9, 2)


@pytest.mark.parametrize(
    "name",
    [
        "x.seg",
        "",
        "0000000000000005",
        "00000000000000zz.seg",
        "0000000000000005.tmp",
        "-000000000000001.seg",
        "+000000000000001.free",
        "ffffffffffffffff.seg",
        "8000000000000000.free",
        "0000_0000_000005.seg",
    ],
)
def test_strange_names_tell_no_generation(name):
    assert generation_of(name) is None


def test_names_tell_their_generation():
    assert generation_of(file_name(77)) == generation_of("000000000000004d.free") == 77


def test_the_base_says_how_many_it_holds():
    ours = segment()
    data = encode_base(ours, preamble=[(9, b"p"), (9, b"q")], marks={"a": b"1"})
    *heads, end = ours.scan(data, base=64, whole=True)
    assert end.payload == struct.pack("<I", len(heads))
    assert {f.position for f in [*heads, end]} == {1000}


@given(st.binary(max_size=300), st.integers(0, 300))
def test_both_forms_of_crc32c_agree(data, cut):
    one = extender(CRC32C)
    assert checksum._table_crc32c(0, data) == one(0, data) == one(one(0, data[:cut]), data[cut:])


def test_crc32c_check_value():
    """RFC 3720 B.4: 32 bytes of zeros; and the check value of the CRC catalogue."""
    assert extender(CRC32C)(0, bytes(32)) == 0x8A9136AA
    assert extender(CRC32C)(0, b"123456789") == checksum._table_crc32c(0, b"123456789") == 0xE3069283
    assert extender(CRC32)(0, b"123456789") == 0xCBF43926


def test_without_the_wheel_new_segments_use_zlib_and_old_ones_are_read(monkeypatch):
    monkeypatch.setattr(checksum, "_wheel", None)
    monkeypatch.setattr(checksum, "_implementation", "")
    assert checksum.preferred() == CRC32
    assert extender(CRC32C)(0, b"123456789") == 0xE3069283
    with pytest.raises(ValueError, match="unknown"):
        extender(3)
