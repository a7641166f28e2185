"""Bad networks between sealboot and a server, made of sockets: proxies that are slow, hold or cut; mute peers."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

from requires import requires

HOST = "127.0.0.1"
#: Bytes that are passed on at once.
PIECE = 16 * 1024


class Proxy:
    """Passes TCP connections on to a port of this machine.

    `hold_up` and `hold_down` are the bytes to and from the server after which
    a connection is held: it stays open and nothing more passes that way until
    `release`. `rate` limits what goes to the server, in bytes per second.
    """

    def __init__(
        self, target: int, *, hold_up: int | None = None, hold_down: int | None = None, rate: float = 0.0
    ) -> None:
        self.hold_up = hold_up
        self.hold_down = hold_down
        self.rate = rate
        self.held = 0
        self.passed = 0
        self._target = target
        self._go = threading.Event()
        self._listener = socket.create_server((HOST, 0))
        self.port = int(self._listener.getsockname()[1])
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def release(self) -> None:
        """Let everything pass from now on."""
        self._go.set()

    def close(self) -> None:
        """Refuse new connections and break all that there are."""
        self.release()
        self._listener.close()
        for pair in self._pairs:
            _shut(*pair)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection((HOST, self._target))
            except OSError:
                return
            self._pairs.append((client, server))
            for source, sink, hold, rate in (
                (client, server, self.hold_up, self.rate),
                (server, client, self.hold_down, 0.0),
            ):
                threading.Thread(target=self._pass, args=(source, sink, hold, rate), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, hold: int | None, rate: float) -> None:
        count = 0
        with contextlib.suppress(OSError):
            while data := source.recv(PIECE):
                if hold is not None and count + len(data) > hold and not self._go.is_set():
                    sink.sendall(data[: max(0, hold - count)])
                    data = data[max(0, hold - count) :]
                    self.held += 1
                    while not self._go.wait(0.02):
                        if sink.fileno() < 0 or _gone(sink):
                            return
                count += len(data)
                self.passed += len(data)
                sink.sendall(data)
                if rate:
                    time.sleep(len(data) / rate)
        _shut(source, sink)


def _gone(sock: socket.socket) -> bool:
    """Whether a connection is no longer established (TCP_INFO's first byte; 1 is TCP_ESTABLISHED)."""
    try:
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != 1
    except OSError:
        return True


def _shut(*sockets: socket.socket) -> None:
    for sock in sockets:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()


@contextlib.contextmanager
def proxied(
    target: int, *, hold_up: int | None = None, hold_down: int | None = None, rate: float = 0.0
) -> Iterator[Proxy]:
    """A proxy for the time of a block."""
    proxy = Proxy(target, hold_up=hold_up, hold_down=hold_down, rate=rate)
    try:
        yield proxy
    finally:
        proxy.close()


@contextlib.contextmanager
def mute() -> Iterator[int]:
    """A port that accepts connections and never says a word."""
    with socket.create_server((HOST, 0)) as listener:
        yield int(listener.getsockname()[1])


@contextlib.contextmanager
def name_server(address: str, *, silent: frozenset[bytes]) -> Iterator[list[bytes]]:
    """A DNS server that knows no name (NXDOMAIN), and does not answer at all for some labels.

    Yields the questions it got. Needs root for its port.
    """
    requires("root")
    asked: list[bytes] = []
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, 53))

    def serve() -> None:
        while True:
            try:
                query, peer = sock.recvfrom(2048)
            except OSError:
                return
            asked.append(query)
            if len(query) < 12 or any(label in query for label in silent):
                continue
            # Header of RFC 1035 section 4.1.1: a response with RCODE 3, one question, nothing else.
            end = query.index(b"\0", 12) + 5
            with contextlib.suppress(OSError):
                sock.sendto(query[:2] + b"\x81\x83\x00\x01\0\0\0\0\0\0" + query[12:end], peer)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield asked
    finally:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()
