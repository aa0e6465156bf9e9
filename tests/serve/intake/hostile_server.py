"""A web server that does what a test says, down to the byte, and remembers what it was asked."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

ENDLESS_PIECE = b"\0" * 65536
# A client that has gone away is what these tests provoke.
GONE = (ConnectionError, ssl.SSLError, OSError)


@dataclass
class HostileServer:
    """``answers``: what is done with a connection once the request for a path was read."""

    host: str
    port: int
    answers: dict[str, Callable[[HostileServer, socket.socket], None]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    num_connections: int = 0
    num_bytes_sent: int = 0
    asked: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    left: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str, host: str | None = None, scheme: str = "http") -> str:
        """The address of a path, by number or under another name."""
        return f"{scheme}://{host or self.host}:{self.port}{path}"

    def send(self, connection: socket.socket, data: bytes) -> None:
        """Send and count."""
        connection.sendall(data)
        self.num_bytes_sent += len(data)

    def says(self, path: str, *pieces: bytes) -> None:
        """``path`` answers with these bytes and the connection's end."""

        def answer(server: HostileServer, connection: socket.socket) -> None:
            for piece in pieces:
                server.send(connection, piece)

        self.answers[path] = answer

    def stalls(self, path: str, *pieces: bytes) -> None:
        """``path`` answers with these bytes and then nothing until the client goes."""

        def answer(server: HostileServer, connection: socket.socket) -> None:
            for piece in pieces:
                server.send(connection, piece)
            server.asked.set()
            server.over.wait(20)

        self.answers[path] = answer

    def never_ends(self, path: str, head: bytes, piece: bytes = ENDLESS_PIECE) -> None:
        """``path`` sends ``piece`` again and again until the client goes."""

        def answer(server: HostileServer, connection: socket.socket) -> None:
            server.send(connection, head)
            try:
                while not server.over.is_set():
                    server.send(connection, piece)
            finally:
                server.left.set()

        self.answers[path] = answer


def ok(body: bytes, *headers: str) -> bytes:
    """A plain answer; headers of one's own replace Content-Length."""
    lines = headers or (f"Content-Length: {len(body)}",)
    return "\r\n".join(["HTTP/1.1 200 OK", *lines, "", ""]).encode() + body


def redirect(location: str, status: int = 302) -> bytes:
    """An answer that leads elsewhere."""
    return f"HTTP/1.1 {status} Go\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


@contextlib.contextmanager
def serving(
    host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> Iterator[HostileServer]:
    """A server on an address, each connection in a thread of its own."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as listener:
        server = HostileServer(host, listener.getsockname()[1])
        thread = threading.Thread(target=_accept, args=(server, listener, tls), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            # close() alone does not wake a thread that waits in accept()
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def _accept(server: HostileServer, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        server.num_connections += 1
        threading.Thread(target=_serve, args=(server, connection, tls), daemon=True).start()


def _serve(server: HostileServer, connection: socket.socket, tls: ssl.SSLContext | None) -> None:
    with contextlib.suppress(*GONE), contextlib.ExitStack() as stack:
        stack.enter_context(connection)
        if tls is not None:
            connection = stack.enter_context(tls.wrap_socket(connection, server_side=True))
        head = b""
        while b"\r\n\r\n" not in head:
            piece = connection.recv(4096)
            if not piece:
                return
            head += piece
        server.requests.append(head.decode("latin-1"))
        path = head.split(b" ", 2)[1].decode("ascii").partition("?")[0]
        server.answers[path](server, connection)
