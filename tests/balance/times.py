#!/usr/bin/python3
"""least_time and random two least_time: of two servers, one of which answers late, nearly all sessions go to the other,
over TCP and UDP. Last line: "N passed, N failed".

The late one waits before its first byte, or only before its last: then first_byte must not mind.
"""
import os
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

LATE_S, SESSIONS, FEW, SOME, TRIES, FORGET_S = 0.06, 40, 8, 6, 3, 6
# name: the method, when the late server is late, UDP or not, and whether it is left alone
CASES = {
    "first_byte": ("least_time first_byte", "first", False, True),
    "first_byte, zone": ("zone a; least_time first_byte", "first", False, True),
    "first_byte, inflight": ("least_time first_byte inflight", "first", False, True),
    "first_byte, late is the last byte": ("least_time first_byte", "last", False, False),
    "last_byte, late is the last byte": ("least_time last_byte", "last", False, True),
    "last_byte, inflight": ("least_time last_byte inflight", "first", False, True),
    "connect": ("least_time connect", "first", False, False),
    "random two, first_byte": ("random two least_time=first_byte", "first", False, True),
    "random two, last_byte": ("random two least_time=last_byte", "last", False, True),
    "random two, connect": ("random two least_time=connect", "first", False, False),
    "UDP: first_byte": ("least_time first_byte", "first", True, True),
    "UDP: last_byte": ("least_time last_byte", "first", True, True),
    "UDP: random two, first_byte": ("random two least_time=first_byte", "first", True, True),
}


def serve_tcp(listener, name, late):
    while True:
        try:
            one, _ = listener.accept()
        except OSError:
            return
        with one:
            time.sleep(LATE_S if late == "first" else 0)
            one.sendall(name[:1])
            time.sleep(LATE_S if late == "last" else 0)
            one.sendall(name[1:])


def serve_udp(server, name, late):
    while True:
        try:
            _, client = server.recvfrom(100)
        except OSError:
            return
        time.sleep(LATE_S if late else 0)
        server.sendto(name, client)


def origin(name, late, udp):
    server = socket.socket(type=socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
    server.bind(("127.0.0.1", 0))
    if not udp:
        server.listen(64)
    threading.Thread(target=serve_udp if udp else serve_tcp, args=(server, name, late), daemon=True).start()
    return "%s:%d" % server.getsockname()


def ask(port, udp):
    with socket.socket(type=socket.SOCK_DGRAM if udp else socket.SOCK_STREAM) as one:
        one.settimeout(8)
        one.connect(("127.0.0.1", port))
        data = b""
        if udp:
            one.send(b"?")
            return one.recv(100)
        while block := one.recv(100):
            data += block
        return data


def whole(ports):
    parts = []
    for at, (method, late, udp, _) in enumerate(CASES.values()):
        servers = [origin(b"late", late, udp), origin(b"soon", None, udp)]
        method = method.replace("zone a", f"zone z{at} 64k")
        parts.append(f"upstream g{at} {{ {method}; server {servers[0]} fail_timeout=1s; server {servers[1]} fail_timeout=1s; }}\n"
                     f"server {{ listen 127.0.0.1:{ports[at]}{' udp' if udp else ''}; proxy_pass g{at}; "
                     f"{'proxy_responses 1;' if udp else ''} }}")
    return "\n".join(parts)


def main():
    first = Ports().take(len(CASES))
    ports = list(range(first, first + len(CASES)))
    build = os.path.join(ROOT, os.environ.get("SPCD_BUILD", "build"))
    failed = 0
    with tempfile.TemporaryDirectory(prefix="spc-") as folder:
        os.chmod(folder, 0o755)
        server = Server("spcd", folder, {name: f"{build}/{name}" for name in ("spcc", "spcd")})
        settings = {"workers": "1", "connections": "512", "level": "crit"}
        if not server.place(server.whole_config("", whole(ports), settings)):
            raise Failure(f"spcd refuses it:\n{server.complaint}")
        try:
            server.start()
            for at, (name, (_, _, udp, leaves)) in enumerate(CASES.items()):
                counts = []
                while len(counts) < TRIES:  # a busy machine may make any server late once; it is forgotten in a while
                    time.sleep(FORGET_S if counts else 0)
                    seen = [ask(ports[at], udp) for _ in range(SESSIONS)]
                    counts.append(seen.count(b"late"))
                    if set(seen) <= {b"late", b"soon"} and (counts[-1] <= FEW if leaves else counts[-1] >= SOME):
                        break
                else:
                    failed += 1
                    print(f"FAILED {name}: {counts} of {SESSIONS} went to the late one")
        finally:
            server.kill()
    print(f"{len(CASES) - failed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        print(f"FAILED: {failure}\n0 passed, 1 failed")
        sys.exit(1)
