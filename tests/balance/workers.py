#!/usr/bin/python3
"""Groups with a zone and four workers: no server ever has more than its max_conns, least_conn is as even as with one
worker, and groups in one zone are still two. Last line: "N passed, N failed".

All clients of a round come at once, from several threads, and stay; then it is counted where they are.
"""
import os
import re
import socket
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, ROOT + "/tests/engine")
sys.dont_write_bytecode = True

from server import Server  # noqa: E402
from talk import Failure  # noqa: E402
from wire import Ports  # noqa: E402

SERVERS, MOST, CLIENTS, THREADS, ROUNDS, PATIENCE_S = 4, 10, 120, 8, 3, 10
GROUPS = {  # name: what stands in the group, and what each server has at the end of a round
    "max_conns": ("zone one 64k; {limited}", [MOST] * SERVERS),
    "max_conns, least_conn": ("zone one 64k; least_conn; {limited}", [MOST] * SERVERS),
    "max_conns, random": ("zone one 64k; random two least_conn; {limited}", [MOST] * SERVERS),
    "max_conns, hash": ("zone one 64k; hash $remote_addr consistent; {limited}", [MOST] * SERVERS),
    "least_conn": ("zone two 64k; least_conn; {plain}", [CLIENTS // SERVERS] * SERVERS),
    "least_conn, weights": ("zone three 64k; least_conn; {weighted}", [CLIENTS * w // 10 for w in (1, 2, 3, 4)]),
    "round robin": ("zone four 64k; {plain}", [CLIENTS // SERVERS] * SERVERS),
}


class Origin:
    """Takes everyone, says hello, and counts who is there."""

    def __init__(self):
        self.there, self.lock = 0, threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            one, _ = self.listener.accept()
            with self.lock:
                self.there += 1
            threading.Thread(target=self.wait, args=(one,), daemon=True).start()

    def wait(self, one):
        with one:
            one.sendall(b"hello")
            try:
                one.recv(1)
            except OSError:
                pass
        with self.lock:
            self.there -= 1


def come(port, count, there, refused):
    for _ in range(count):
        one = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        try:
            (there if one.recv(5) == b"hello" else refused).append(one)
        except OSError:
            refused.append(one)


def round_of(port, origins):
    """What each server has when all clients have come; then all leave."""
    there, refused = [], []
    threads = [threading.Thread(target=come, args=(port, CLIENTS // THREADS, there, refused)) for _ in range(THREADS)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    counts = [origin.there for origin in origins]
    for one in there + refused:
        one.close()
    end = time.monotonic() + PATIENCE_S
    while any(origin.there for origin in origins) and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.1)  # and the server has counted that they left
    return counts


def whole(ports, origins):
    def servers(parameter):
        return " ".join(f"server {origin.address} {parameter(at)};" for at, origin in enumerate(origins))
    kinds = {"limited": servers(lambda at: f"max_conns={MOST}"), "plain": servers(lambda at: ""),
             "weighted": servers(lambda at: f"weight={at + 1}")}
    return "\n".join(f"upstream g{at} {{ {text.format(**kinds)} }}\n"
                     f"server {{ listen 127.0.0.1:{ports[at]} reuseport; proxy_pass g{at}; }}"
                     for at, (text, _) in enumerate(GROUPS.values()))


def main():
    first = Ports().take(len(GROUPS))
    ports = list(range(first, first + len(GROUPS)))
    build = os.path.join(ROOT, os.environ.get("SPCD_BUILD", "build"))
    origins = [Origin() for _ in range(SERVERS)]
    failed = 0
    with tempfile.TemporaryDirectory(prefix="spc-") as folder:
        os.chmod(folder, 0o755)
        server = Server("spcd", folder, {name: f"{build}/{name}" for name in ("spcc", "spcd")})
        settings = {"workers": "4", "connections": "512", "level": "info"}
        if not server.place(server.whole_config("", whole(ports, origins), settings)):
            raise Failure(f"spcd refuses it:\n{server.complaint}")
        try:
            server.start()
            for at, (name, (_, expected)) in enumerate(GROUPS.items()):
                rounds = [round_of(ports[at], origins) for _ in range(ROUNDS)]
                if any(counts != expected for counts in rounds):
                    failed += 1
                    print(f"FAILED {name}: {rounds}, not {expected}")
        finally:
            server.kill()
        with open(f"{folder}/error.log", encoding="utf-8") as file:
            workers = set(re.findall(r"#(\d+): \*\d+ client ", file.read()))
    if len(workers) < 2:
        failed += 1
        print(f"FAILED workers: {len(workers)} had all the sessions")
    print(f"{len(GROUPS) + 1 - failed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        print(f"FAILED: {failure}\n0 passed, 1 failed")
        sys.exit(1)
