"""A database that answers POSTs by a script, keeps what it took, and tells what it was asked."""

import gzip
import http.server
import threading

GOOD = (204, {}, b"")
PARTIAL = b'{"error":"partial write: field type conflict dropped=1"}'


class Scripted(http.server.BaseHTTPRequestHandler):
    """Answers POSTs of records by `answer(lines)`; those of the sink's probe by `probed`; it is not read back."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") != "gzip":  # a probe is read back: not here
            return self.reply(404, {}, b"")
        lines = gzip.decompress(body).decode().splitlines()
        if lines[0].startswith("gateway_probe,"):
            return self.reply(*self.server.probed)
        server = self.server
        first = not server.requests
        server.requests.append((self.path, dict(self.headers), lines))
        status, headers, text = GOOD if first and server.open_first else server.answer(lines)
        if status == 204:
            server.stored += lines
        if status is None:
            self.close_connection = True
            return None
        return self.reply(status, headers, text)

    def reply(self, status, headers, text):
        self.send_response(status)
        for name, value in ({"X-Influxdb-Version": "1.6.7"} | headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
        self.wfile.flush()

    def log_message(self, *_):
        pass


class Database:
    def __init__(self, answer, *, open_first=True):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Scripted)
        self.server.daemon_threads = True
        self.server.requests, self.server.stored = [], []
        self.server.answer, self.server.open_first = answer, open_first
        self.server.probed = GOOD
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self.server

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
