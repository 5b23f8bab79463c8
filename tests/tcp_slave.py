"""A Modbus TCP slave that says exactly what a test wants."""

import contextlib
import socket
import threading
import time


def whole(request, fill=b"\x43\x66\x00\x00"):
    """The right answer to a Modbus TCP read."""
    size = int.from_bytes(request[10:12], "big") * 2
    return request[:4] + (3 + size).to_bytes(2, "big") + bytes([request[6], request[7], size]) + (fill * 99)[:size]


@contextlib.contextmanager
def slave(parts):
    """A TCP device that sends `parts(request)`; a float is a pause. Yields its HOST:PORT."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    peer, _from = server.accept()
                    with peer:
                        while request := peer.recv(4096):
                            for part in parts(request):
                                time.sleep(part) if isinstance(part, float) else peer.sendall(part)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(10)
