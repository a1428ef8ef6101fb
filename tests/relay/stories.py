#!/usr/bin/python3
"""Random sessions: what client and server say, and how they leave, through nginx and spcd. What each of them heard, and
what both logs say of the session, must be the same. Last line: "N passed, N failed"; a test is a session.

    tests/relay/stories.py [--count N] [--seed S]

All sessions of a telling take their steps together, with a pause after each, in which both ends read what there is. One
that differs is told once more, with longer pauses.
"""
import argparse
import os
import random
import re
import socket
import struct
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, ROOT + "/tests/engine")
sys.dont_write_bytecode = True

from server import Server  # noqa: E402
from talk import Failure  # noqa: E402
from wire import PATIENCE, Ports  # noqa: E402

SESSIONS, PAUSE, LONGER = 120, 0.12, 0.6
FRONTS = 8
SETTINGS = [("proxy_half_close on;", 0.5), ("proxy_buffer_size 100;", 0.2), ("proxy_protocol on;", 0.3),
            ("tcp_nodelay off;", 0.2), ("proxy_socket_keepalive on;", 0.2), ("preread_buffer_size 64; ssl_preread on;", 0.2)]
SERVER = ""  # what all servers have
SIZES = [1, 1, 5, 64, 1000, 16384, 70000, 300000]
ABOUT = re.compile(r"\[(\w+)\] \d+#\d+: \*(\d+) (.*)")


class Session:
    """A story: who does what in each step."""

    def __init__(self, pick, number):
        self.front, self.source = pick.randrange(FRONTS), f"127.1.{number >> 8}.{number & 255}"
        self.steps, left = [], {"client": "speaks", "origin": "speaks"}
        for _ in range(pick.randint(1, 8)):
            who = pick.choice(sorted(left))
            what = pick.choices(["sends", "shuts", "closes", "resets"], [10, 2, 1, 1])[0]
            if left[who] == "shut" and what in ("sends", "shuts"):
                what = pick.choice(["closes", "resets"])
            gone = len(left) < 2  # how much is sent to nobody before a reset comes is chance
            self.steps.append((who, what, pick.choice(SIZES[:4] if gone else SIZES)))
            if what == "shuts":
                left[who] = "shut"
            elif what != "sends":
                del left[who]
            if not left:
                break

    def __str__(self):
        return ", ".join(f"{who} {what}{f' {size}' if what == 'sends' else ''}" for who, what, size in self.steps)


class End:
    """A socket of one session, and what it heard."""

    def __init__(self, sock):
        self.sock, self.count, self.ended, self.queued, self.first = sock, 0, None, 0, b""
        sock.setblocking(False)

    def turn(self):
        if not self.sock:
            return
        try:
            while self.queued:
                self.queued -= self.sock.send(bytes(min(self.queued, 65536)))
        except BlockingIOError:
            pass
        except OSError:
            self.queued = 0
        while not self.ended:
            try:
                data = self.sock.recv(65536)
            except BlockingIOError:
                return
            except OSError:
                data = b""
                self.ended = "reset"
            self.count += len(data)
            self.first = (self.first + data[:32])[:32]
            if not data:
                self.ended = self.ended or "end"

    def take(self, what, size):
        if not self.sock:
            return
        try:
            if what == "sends":
                self.queued += size
            elif what == "shuts":
                self.sock.shutdown(socket.SHUT_WR)
            else:
                if what == "resets":
                    self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close()
        except OSError:
            pass  # it has been reset

    def close(self):
        if self.sock:
            self.sock.close()
        self.sock = None

    def heard(self):
        return f"{self.count} bytes, {self.ended or 'open'}"


class Telling:
    origin = End  # of another kind in tests/tls/stories.py

    def __init__(self, sessions, ports, pause):
        self.sessions, self.ports, self.pause = sessions, ports, pause
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", ports[-1]))
        self.listener.listen(1024)
        self.clients, self.origins = [], []

    def rest(self):
        until = time.monotonic() + self.pause
        while time.monotonic() < until:
            for one in self.clients + [x for x in self.origins if x]:
                one.turn()
            time.sleep(0.005)

    def begin(self):
        """One after the other, so that it is known who is whose."""
        self.listener.settimeout(PATIENCE)
        for session in self.sessions:
            client = socket.socket()
            client.bind((session.source, 0))
            client.connect(("127.0.0.1", self.ports[session.front]))
            client.send(b"first words, more than one needs to look at: no TLS")
            self.clients.append(End(client))
            self.origins.append(self.origin(self.listener.accept()[0]))

    def play(self):
        self.begin()
        self.rest()
        for at in range(max(len(one.steps) for one in self.sessions)):
            for session, client, origin in zip(self.sessions, self.clients, self.origins):
                if at < len(session.steps):
                    who, what, size = session.steps[at]
                    (client if who == "client" else origin).take(what, size)
            self.rest()
        heard = [f"client: {client.heard()}; origin: {origin.heard()}" for client, origin in zip(self.clients, self.origins)]
        for side in (self.clients, self.origins):  # who is still here leaves in the same way everywhere
            for one in side:
                one.close()
            self.rest()
        return heard

    def close(self):
        self.listener.close()
        for one in self.clients + self.origins:
            one.close()


def stream(fronts, ports):
    lines = ["log_format ends '$remote_addr $status $bytes_received $bytes_sent $upstream_bytes_sent $upstream_bytes_received';",
             "access_log @dir/ends.log ends;"]
    for at, settings in enumerate(fronts):
        lines.append(f"server {{ listen 127.0.0.1:{ports[at]}; proxy_pass 127.0.0.1:{ports[-1]}; {SERVER} {settings} }}")
    return "\n".join(lines)


def said(server, ports):
    """source: the lines of both logs, without what differs by chance."""
    by_number, lines = {}, {}
    for line in server.read("error.log").split("\n"):
        found = ABOUT.search(line)
        if not found or "buffered to a temporary" in line:
            continue
        client = re.search(r"client (127\.1\.\d+\.\d+):", found[3])
        if client:
            by_number[found[2]] = client[1]
        text = re.sub(r"(127\.\d+\.\d+\.\d+):(\d+)", lambda m: f"{m[1]}:{m[2] if int(m[2]) in ports else '*'}", found[3])
        text = re.sub(r"(writev|SSL_write)\(\) failed", "send() failed", text)
        lines.setdefault(by_number.get(found[2]), []).append(f"[{found[1]}] {text}")
    for line in server.read("ends.log").split("\n")[:-1]:
        lines.setdefault(line.split()[0], []).append(line)
    return lines


def tell(kind, fronts, sessions, ports, pause):
    build = os.path.join(ROOT, os.environ.get("SPCD_BUILD", "build"))
    with tempfile.TemporaryDirectory(prefix="spc-") as folder:
        os.chmod(folder, 0o755)
        server = Server(kind, folder, {name: f"{build}/{name}" for name in ("spcc", "spcd")})
        if not server.place(server.whole_config("", stream(fronts, ports).replace("@dir", folder),
                                                {"workers": "1", "connections": "1024", "level": "info"})):
            raise Failure(f"{kind} refuses it:\n{server.complaint}")
        telling = Telling(sessions, ports, pause)
        try:
            server.start()
            heard = telling.play()
        finally:
            telling.close()
            server.kill()
        lines = said(server, ports)
        return [[text, *lines.get(session.source, [])] for session, text in zip(sessions, heard)]


def differing(fronts, sessions, ports, pause):
    theirs, ours = (tell(kind, fronts, sessions, ports, pause) for kind in ("nginx", "spcd"))
    return [(session, a, b) for session, a, b in zip(sessions, theirs, ours) if a != b]


def compare(seed, ports):
    """How many sessions differ."""
    pick = random.Random(seed)
    fronts = [" ".join(word for word, odds in SETTINGS if pick.random() < odds) for _ in range(FRONTS)]
    sessions = [Session(pick, number) for number in range(SESSIONS)]
    again = [session for session, _, _ in differing(fronts, sessions, ports, PAUSE)]
    failed = differing(fronts, again, ports, LONGER) if again else []
    for session, theirs, ours in failed:
        print(f"FAILED seed {seed}: {fronts[session.front]}\n    {session}")
        for kind, lines in (("nginx", theirs), ("spcd ", ours)):
            print("\n".join(f"    {kind} {line}" for line in lines))
    return len(failed)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--count", type=int, default=1)
    options.add_argument("--seed", type=int, default=1)
    options = options.parse_args()
    held = Ports()
    first = held.take(FRONTS + 1)
    failed = sum(compare(options.seed + at, list(range(first, first + FRONTS + 1))) for at in range(options.count))
    print(f"{SESSIONS * options.count - failed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        print(f"FAILED: {failure}\n0 passed, 1 failed")
        sys.exit(1)
