#!/usr/bin/python3
"""Random sessions with an upstream server that speaks TLS, and ends it in every way: tests/relay/stories.py tells how.

    tests/tls/stories.py [--count N] [--seed S]
"""
import os
import socket
import ssl
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [ROOT + "/tests/engine", ROOT + "/tests/relay", HERE]
sys.dont_write_bytecode = True

import stories  # noqa: E402
from origins import Authority, context  # noqa: E402

SETTINGS = [("proxy_half_close on;", 0.5), ("proxy_protocol on;", 0.3), ("tcp_nodelay off;", 0.2), ("proxy_ssl_protocols TLSv1.2;", 0.5),
            ("preread_buffer_size 64; ssl_preread on;", 0.2), ("proxy_buffer_size 100;", 0.2)]
# How a server ends: with close_notify, without, with nothing but it; and how it leaves.
ENDINGS = {"shuts": ["shuts", "cuts", "notifies"], "closes": ["closes", "parts"], "resets": ["resets"], "sends": ["sends"]}
ROOM = 1 << 18  # bytes that wait to be sent, at most


class Session(stories.Session):
    def __init__(self, pick, number):
        super().__init__(pick, number)
        self.steps = [(who, pick.choice(ENDINGS[what]) if who == "origin" else what, size) for who, what, size in self.steps]


class Origin(stories.End):
    """The server's end, which may be behind a PROXY header."""
    made = None  # the context

    def __init__(self, sock):
        super().__init__(sock)
        self.inner, self.outer, self.waiting, self.last = ssl.MemoryBIO(), ssl.MemoryBIO(), b"", None
        self.secure, self.shaken, self.over = self.made.wrap_bio(self.inner, self.outer, server_side=True), False, False
        self.head = None

    def hear(self):
        """What came, past a header in clear, to TLS."""
        while not self.over:
            data = self.sock.recv(65536)
            if self.head is None and data.startswith(b"PROXY"):
                self.head, _, data = data.partition(b"\r\n")
            self.head = self.head or b""
            if data:
                self.inner.write(data)
            else:
                self.over = True
                self.inner.write_eof()

    def speak(self):
        if self.secure:
            self.waiting += self.outer.read()
        while self.waiting:
            self.waiting = self.waiting[self.sock.send(self.waiting):]
        if self.last is not None and not self.queued:
            self.sock.shutdown(self.last)
            self.last = None

    def step(self):
        """Go on with TLS as far as what is there allows."""
        if not self.shaken:
            self.secure.do_handshake()
            self.shaken = True
        while self.queued and len(self.waiting) + self.outer.pending < ROOM:
            self.queued -= self.secure.write(bytes(min(self.queued, 16384)))
        while not self.ended:
            data = self.secure.read(65536)
            self.count += len(data)
            self.ended = None if data else "notified"

    def turn(self):
        if not self.sock:
            return
        for act in (self.hear, self.step, self.speak):
            try:
                act()
            except (BlockingIOError, ssl.SSLWantReadError):
                pass
            except ssl.SSLZeroReturnError:
                self.ended = "notified"
            except ssl.SSLError:
                self.ended = self.ended or "end"
            except OSError:
                self.ended, self.queued = self.ended or "reset", 0

    def notify(self):
        try:
            self.secure.unwrap()
        except ssl.SSLError:
            pass
        self.turn()

    def take(self, what, size):
        if self.sock and what in ("shuts", "parts", "notifies"):
            self.notify()
        if self.sock and what in ("shuts", "cuts"):
            self.last = socket.SHUT_WR
            self.turn()
        elif what not in ("shuts", "cuts", "notifies"):
            super().take("closes" if what == "parts" else what, size)


def said(server, ports, whole=stories.said):
    """Without what docs/DIFFERENCES.md says of servers that reset the connection."""
    return {source: [line for line in lines if "reading from upstream" not in line] for source, lines in whole(server, ports).items()}


def main():
    stories.said = said
    stories.SETTINGS = SETTINGS
    stories.Session = Session
    stories.Telling.origin = Origin
    stories.SERVER = "proxy_ssl on; proxy_ssl_session_reuse off;"
    with tempfile.TemporaryDirectory(prefix="spc-") as folder:
        authority = Authority(folder)
        authority.issue("good", "x.example", "subjectAltName=DNS:x.example\n")
        Origin.made = context(authority, "good")
        Origin.made.options |= ssl.OP_IGNORE_UNEXPECTED_EOF  # whom we send a close_notify: docs/DIFFERENCES.md
        return stories.main()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except stories.Failure as failure:
        print(f"FAILED: {failure}\n0 passed, 1 failed")
        sys.exit(1)
