"""A small NGSI-LD context broker for tests: batch upsert with merge, history by observedAt, and a script of replies."""

import contextlib
import http.server
import json
import socket
import threading


class _Door(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        self.server.owner.open.add(self.connection)

    def finish(self):
        self.server.owner.open.discard(self.connection)
        super().finish()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status, answer = self.server.owner.serve(self.path, dict(self.headers), body)
        data = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


class ContextBroker:
    """`entities` by id (merged), `requests` as (headers, list of ids); `answer(entities)` may replace the reply."""

    def __init__(self, port=0):
        self.entities, self.requests, self.open = {}, [], set()
        self.answer = lambda _entities: None
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), _Door)
        self._server.daemon_threads = True
        self._server.owner = self
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def serve(self, path, headers, body):
        assert path == "/ngsi-ld/v1/entityOperations/upsert?options=update"
        entities = json.loads(body)
        ids = [entity["id"] for entity in entities]
        assert len(ids) == len(set(ids)), "one entity twice in a batch"
        self.requests.append((headers, ids))
        scripted = self.answer(entities)
        if scripted is not None:
            status, reply, taken = scripted
        else:
            fresh = [name for name in ids if name not in self.entities]
            status, reply, taken = (201, fresh, ids) if fresh else (204, None, ids)
        for entity in entities:
            if entity["id"] in taken:
                self.entities.setdefault(entity["id"], {"history": []}).update(entity)
                self.entities[entity["id"]]["history"].append(entity)
        return status, reply

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self.open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
