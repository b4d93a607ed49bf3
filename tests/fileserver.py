"""A web server on loopback that misbehaves as it is told, and remembers what it was asked."""

import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType


@dataclass(frozen=True)
class Reply:
    """How one request is answered; what is not given is answered as a good server would."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)  # "": leave this one out
    ranges: bool = True  # answer `Range` with 206 and 416
    if_range: bool = True  # answer 200 if `If-Range` is not our ETag or Last-Modified
    most: int | None = None  # bytes of a range to give at most
    shift: int = 0  # start a range so many bytes too far
    chunked: bool = False
    cut: int | None = None  # send so many bytes of the content, then close the connection
    stall: bool = False  # keep silent after `cut` bytes, until the client goes away
    silent: bool = False  # do not even send a status line until then
    dropped: bool = False  # close the connection without an answer


@dataclass(frozen=True)
class Request:
    path: str
    headers: Mapping[str, str]
    sent: int  # bytes of content that went out in answer


class FileServer:
    """Serves `replies[path]`: one reply per request, and the last one to all further requests."""

    def __init__(self) -> None:
        self.replies: dict[str, list[Reply]] = {}
        self.requests: list[Request] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def serve(self, path: str, *replies: Reply) -> str:
        """Answer `path` with these replies in turn; return its URL."""
        self.replies[path] = list(replies)
        return self.url(path)

    def asked(self, path: str) -> list[Request]:
        return [request for request in self.requests if request.path == path]

    def __enter__(self) -> "FileServer":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(server: FileServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            replies = server.replies.get(self.path, [Reply(status=404)])
            reply = replies.pop(0) if len(replies) > 1 else replies[0]
            asked = dict(self.headers)
            status, headers, content = _answer(reply, asked)
            sent = content if reply.cut is None else content[: reply.cut]
            server.requests.append(Request(self.path, asked, len(sent)))
            self.close_connection = True
            if reply.dropped:
                return
            if reply.silent:
                self.connection.recv(1)  # returns when the client has closed its end
            self.send_response(status)
            for name, value in headers.items():
                if value:
                    self.send_header(name, value)
            self.end_headers()
            if reply.chunked:
                size = len(content) if reply.cut is not None else len(sent)
                self.wfile.write(b"%x\r\n%b" % (size, sent))
                if reply.cut is None:
                    self.wfile.write(b"\r\n0\r\n\r\n")
            else:
                self.wfile.write(sent)
            if reply.stall:
                self.connection.recv(1)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


def _answer(reply: Reply, asked: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
    status, content = reply.status, reply.body
    headers = {"Connection": "close"}
    validators = [
        reply.headers[name] for name in ("ETag", "Last-Modified") if name in reply.headers
    ]
    wanted = asked.get("Range") if reply.ranges and status == 200 else None
    if wanted and reply.if_range and asked.get("If-Range", "") not in ("", *validators):
        wanted = None
    if wanted:
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) + reply.shift
        if start >= len(content):
            headers["Content-Range"] = f"bytes */{len(content)}"
            status, content = 416, b""
        else:
            content = content[start:][: reply.most]
            headers["Content-Range"] = f"bytes {start}-{start + len(content) - 1}/{len(reply.body)}"
            status = 206
    if reply.chunked:
        headers["Transfer-Encoding"] = "chunked"
    else:
        headers["Content-Length"] = str(len(content))
    return status, headers | dict(reply.headers), content


def closed_port() -> int:
    """Return a port of loopback on which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
