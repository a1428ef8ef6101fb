#!/usr/bin/python3
"""A flood of TLS handshakes that come to nothing: memory is what was set aside, and all of it comes back.

Upstream servers stall at each step of the handshake, some after 98 kB of certificates, so that the region runs out.
Then handshakes are refused, and counted as such; nothing grows; and as soon as the clients have gone a good session
passes, and as many bad ones as before. Last line: "N passed, N failed".
"""
import os
import re
import socket
import ssl
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [ROOT + "/tests/engine", HERE]
sys.dont_write_bytecode = True

import der  # noqa: E402

der.folder = ROOT + "/build/chains"
os.makedirs(der.folder, exist_ok=True)

import raw  # noqa: E402
from chains import LocalOrigin, speaks  # noqa: E402
from server import Server  # noqa: E402
from talk import Failure  # noqa: E402

SESSIONS = 700
SANITIZED = "san" in os.environ.get("SPCD_BUILD", "build")
LEAF = der.Certificate(["CN=leaf"], "ec-leaf", None, [der.also("DNS:x.example")])
OTHERS = [der.Certificate([f"CN={at}"], "ec-root", None, [der.basic(True)]) for at in range(40)]


class Stalling(LocalOrigin):
    """An origin that says something of the handshake, and then nothing; it counts those that have come so far."""

    def __init__(self, path, says):
        self.says, self.held, self.over = says, 0, threading.Event()
        super().__init__(path, self.stall)

    def stall(self, client):
        client.settimeout(60)
        if self.says:
            raw.take_record(client)
            client.sendall(self.says())
        self.held += 1
        self.over.wait(60)
        self.held -= 1


def hello():
    return raw.record(raw.HANDSHAKE, raw.server_hello())


def shown():
    """98 kB that are nobody else's."""
    junk = [os.urandom(14000) for _ in range(7)]
    return hello() + raw.record(raw.HANDSHAKE, raw.certificates(LEAF.der, *junk))


STEPS = {
    "nothing": None,
    "half a record": lambda: hello()[:20],
    "a ServerHello": hello,
    "half of its certificates": lambda: shown()[:50000],
    "its certificates": shown,
}


class Flood:
    def __init__(self, folder, workers):
        self.region = (64 << 20) + (96 << 10) * SESSIONS * workers  # runtime/tls.c
        build = os.path.join(ROOT, os.environ.get("SPCD_BUILD", "build"))
        self.folder = folder
        self.server = Server("spcd", folder, {name: f"{build}/{name}" for name in ("spcc", "spcd")})
        self.origins = [Stalling(f"{folder}/o{at}", says) for at, says in enumerate(STEPS.values())]
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with open(folder + "/leaf.pem", "wb") as file:
            file.write(b"".join(der.pem("CERTIFICATE", one.der) for one in [LEAF, *OTHERS]))
        made.load_cert_chain(folder + "/leaf.pem", der.key_file("ec-leaf"))
        self.good = LocalOrigin(folder + "/good", speaks(made))
        parts = ["log_format flood '$close_reason'; access_log access.log flood;",
                 "proxy_ssl on; proxy_connect_timeout 60s;",
                 f"server {{ listen unix:{folder}/probe; proxy_pass unix:{folder}/good; proxy_ssl_verify on; "
                 "proxy_ssl_name x.example; proxy_ssl_trusted_certificate leaf.pem; }"]
        parts += [f"server {{ listen unix:{folder}/f{at}; proxy_pass unix:{folder}/o{at}; }}"
                  for at in range(len(STEPS))]
        if not self.server.place(self.server.whole_config("master_process off;\n", "\n".join(parts),
                                 {"workers": str(workers), "connections": SESSIONS, "level": "notice"})):
            raise Failure(self.server.complaint)

    def probe(self):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(8)
            client.connect(self.folder + "/probe")
            client.sendall(b"abc")
            return client.recv(100) == b"cba"

    def memory(self):
        """Bytes that are the process's own."""
        text = self.server.read(f"/proc/{self.server.process.pid}/smaps_rollup")
        return int(re.search(r"Private_Dirty: +(\d+)", text)[1]) << 10

    def refused(self):
        return self.server.read("access.log").split().count("tls_refused")

    def round(self, at, count):
        """Clients that come, stay until nothing moves, and go. How many of them found memory."""
        before, refused = len(self.server.read("access.log").split()), self.refused()
        clients = []
        for _ in range(count):
            client = socket.socket(socket.AF_UNIX)
            client.connect(f"{self.folder}/f{at}")
            clients.append(client)
        held = -1
        while held != self.origins[at].held:
            held = self.origins[at].held
            time.sleep(0.15)
        for client in clients:
            client.close()
        self.origins[at].over.set()
        if not self.server.wait(lambda: len(self.server.read("access.log").split()) >= before + count):
            raise Failure("not every session has ended")
        self.server.wait(lambda: self.origins[at].held == 0)
        self.origins[at].over.clear()
        return count - (self.refused() - refused)


def abandoned(flood):
    """Each step of the handshake, again and again: what was used once is used again."""
    wrong, steps = [], list(STEPS)
    for at, step in enumerate(steps):
        flood.round(at, 100)
        flood.round(at, 100)
        first = flood.memory()
        for _ in range(3):
            flood.round(at, 100)
        more = flood.memory() - first
        if more > 256 << 10 and not SANITIZED:
            wrong.append(f"abandoned after {step}: {more} bytes more")
    if not flood.probe():
        wrong.append("no session passes")
    return wrong


def exhausted(flood):
    """More than there is memory for."""
    wrong, most = [], []
    at = list(STEPS).index("its certificates")
    for _ in range(3):
        most.append(flood.round(at, SESSIONS - 20))
        if not all(flood.probe() for _ in range(16)):  # by either worker
            wrong.append("no session passes after the flood")
    refused = flood.refused()
    used = flood.memory()
    print(f"at once {most}, refused {refused}, {used >> 20} MiB; the region has {flood.region >> 20}")
    if not refused:
        wrong.append("there was memory enough: nothing was tried")
    if min(most) < 50:
        wrong.append("hardly anybody was served")
    if used > flood.region + (32 << 20) and not SANITIZED:
        wrong.append(f"{used} bytes, and the region has {flood.region}")
    return wrong


def reloaded(flood):
    """Authorities and certificates are read again and again, with a session that holds the generation before."""
    def again(times):
        for _ in range(times):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(flood.folder + "/probe")
                client.sendall(b"abc")
                if client.recv(100) != b"cba":
                    return False
                before = flood.server.read("error.log").count("reconfiguring")
                flood.server.signal("HUP")
                flood.server.wait(lambda: flood.server.read("error.log").count("reconfiguring") > before)
                if not flood.probe():
                    return False
        time.sleep(0.3)
        return True

    wrong = [] if again(20) else ["no session passes"]
    first = flood.memory()
    if not again(40):
        wrong.append("no session passes")
    more = flood.memory() - first
    if more > 1 << 20 and not SANITIZED:
        wrong.append(f"{more} bytes more")
    return wrong


# With one worker it is sure which memory is used again; with two, one has to live of what the other has left.
TRIED = [(1, abandoned), (2, exhausted), (1, reloaded)]


def main():
    failed = 0
    for workers, try_ in TRIED:
        with tempfile.TemporaryDirectory(prefix="spc-") as folder:
            os.chmod(folder, 0o755)
            flood = Flood(folder, workers)
            try:
                flood.server.start()
                wrong = try_(flood)
                flood.server.end()
            finally:
                flood.server.kill()
            failed += bool(wrong)
            for line in wrong:
                print(f"FAILED {try_.__name__}: {line}")
    print(f"{len(TRIED) - failed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        print(f"FAILED: {failure}\n0 passed, 1 failed")
        sys.exit(1)
