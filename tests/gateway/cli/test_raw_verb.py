"""`citygate raw` against odd devices: what it says of the wire has to be so."""

import contextlib
import json
import os
import pty
import threading
import tty

import pytest
from cli_desk import said, site
from tcp_slave import slave, whole

from drivers.checksum import crc16_modbus


@contextlib.contextmanager
def echoing_port():
    """A serial port whose adapter repeats what is sent, with a device behind it. Yields its path."""
    master, port = pty.openpty()
    tty.setraw(master)
    tty.setraw(port)

    def serve():
        with contextlib.suppress(OSError):
            while request := os.read(master, 256):
                os.write(master, request)
                body = request[:2] + (b"\x02\x43\x47" if request[1] == 17 else b"\x04\x43\x66\x00\x00")
                os.write(master, body + crc16_modbus(body).to_bytes(2, "little"))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield os.ttyname(port)
    finally:
        os.close(port)
        thread.join(10)
        os.close(master)


@pytest.mark.parametrize("kind", ["4", "17"])
def test_the_echo_of_an_adapter_is_no_noise(capsys, tmp_path, kind):
    with echoing_port() as port:
        flags = ("-b", "9600", "-p", "none", "-c", "2", "-t", kind, "-o", "5")
        shown = said(capsys, "--config", tmp_path, "raw", port, *flags)
    assert shown.code == 0, shown
    assert "echo" in shown.err
    assert ("17254" if kind == "4" else "CG") in shown.out


def test_a_pause_inside_an_answer_is_waited_for(capsys, tmp_path):
    with slave(lambda request: [whole(request)[:7], 0.3, whole(request)[7:]]) as where:
        shown = said(capsys, "--config", tmp_path, "raw", where, "-c", "2", "-o", "5")
    assert (shown.code, "17254" in shown.out) == (0, True), shown


def test_an_answer_that_comes_twice_is_used_once_and_told(capsys, tmp_path):
    with slave(lambda request: [whole(request) * 2]) as where:
        shown = said(capsys, "--config", tmp_path, "raw", where, "-c", "2")
    assert (shown.code, "17254" in shown.out) == (0, True), shown
    assert "CG-LNK-14" in shown.err
    assert "CG-DEV-01" not in shown.err


def test_a_register_that_is_no_number_is_null_in_json(capsys, tmp_path):
    with slave(lambda request: [whole(request, b"\x7f\xc0\0\0")]) as where:
        shown = said(capsys, "--json", "--config", tmp_path, "raw", where, "-t", "4:float", "-c", "2")
    assert shown.code == 0, shown
    assert json.loads(shown.out)["values"] == [None, None]


@pytest.mark.parametrize("verb", ["raw", "scan"])
@pytest.mark.parametrize(
    "where", ["127.0.0.1:abc", "127.0.0.1:99999", "127.0.0.1:0", "127.0.0.1:" + "9" * 5000, ":502"]
)
def test_a_typing_error_in_a_place_is_no_bug_of_ours(capsys, tmp_path, verb, where):
    shown = said(capsys, "--config", tmp_path, verb, where)
    assert (shown.code, "CG-BUS-16" in shown.err) == (2, True), shown


def test_a_port_by_flag(capsys, tmp_path):
    with slave(lambda request: [whole(request)]) as where:
        host, port = where.split(":")
        shown = said(capsys, "--config", tmp_path, "raw", host, "-p", port, "-c", "2")
        by_name = said(capsys, "--config", site(tmp_path, port=port), "raw", "plc", "-c", "2")
    assert (shown.code, by_name.code) == (0, 0), (shown, by_name)
    assert said(capsys, "--config", tmp_path, "raw", "127.0.0.1", "-p", "99999").code == 2
