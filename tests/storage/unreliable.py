"""A proxy that injects faults between a client and a real server."""

import http.client
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

# What happens to requests by turns. Asked again, a request succeeds: the faults lie apart.
FAULTS = ("throttled", "failed", "refused", "answer lost", "cut", "silent")
SILENT_SECONDS = 600  # longer than any client waits
THROTTLED = (
    b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)


class Proxy(ThreadingHTTPServer):
    """Passes requests on to `upstream`; every `every`-th meets one of `FAULTS`, by turns."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, upstream: str, every: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = urlsplit(upstream).netloc
        self.every = every
        self.counts: Counter[str] = Counter()
        self.requests: list[tuple[str, str]] = []
        self.over = threading.Event()
        self._guard = threading.Lock()

    def fault(self) -> str:
        with self._guard:
            self.counts["requests"] += 1
            turn, left = divmod(self.counts["requests"], self.every)
            name = "" if left else FAULTS[turn % len(FAULTS)]
            self.counts[name] += 1
            return name

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has left is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def _pass_on(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        self.server.requests.append((self.command, self.path))
        fault = self.server.fault()
        if fault in ("throttled", "failed"):
            self._answer(
                503 if fault == "throttled" else 500, [], THROTTLED * (fault == "throttled")
            )
            return
        if fault == "refused":
            self._hang_up()
            return
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=600)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                upstream.putheader(name, value)
            upstream.endheaders(body)
            response = upstream.getresponse()
            content = response.read()
        finally:
            upstream.close()
        if fault == "silent":
            self.server.over.wait(SILENT_SECONDS)
        if fault in ("silent", "answer lost"):
            self._hang_up()
            return
        self._answer(response.status, response.getheaders(), content, cut=fault == "cut")

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on  # noqa: N815

    def _answer(
        self, status: int, headers: list[tuple[str, str]], content: bytes, cut: bool = False
    ) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        length = {name.lower(): value for name, value in headers}.get("content-length")
        self.send_header("Content-Length", str(length if self.command == "HEAD" else len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self._hang_up()

    def _hang_up(self) -> None:
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on stderr."""


@contextmanager
def proxy(upstream: str, every: int) -> Iterator[Proxy]:
    """The proxy, running; its address is `http://127.0.0.1:{server_port}`."""
    server = Proxy(upstream, every)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
