#!/usr/bin/python3
"""Who serves whom: the same clients through nginx and spcd, group by group. Last line: "N passed, N failed".

Keys and rings must give every client the same server as nginx. Random choices must be spread by weight, and
least_conn evenly. The servers behind the groups are servers of the same configuration that return their number.
"""
import collections
import os
import socket
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, ROOT + "/tests/engine")
sys.dont_write_bytecode = True

from server import Server  # noqa: E402
from talk import Failure  # noqa: E402
from wire import Ports  # noqa: E402

SERVERS, CLIENTS = 8, 120
# name: what stands in the group; {N} is the address of server N
SAME = {
    "hash": "hash $remote_addr; server {0}; server {1}; server {2}; server {3};",
    "hash, weights": "hash $remote_addr; server {0} weight=5; server {1}; server {2} weight=3;",
    "hash, one down": "hash $remote_addr; server {0}; server {1} down; server {2};",
    "hash, one refuses": "hash $remote_addr; server {0}; server {dead} max_fails=0; server {2};",
    "hash, longer key": "hash $remote_addr$server_port-$protocol; server {0}; server {1}; server {2};",
    "ring": "hash $remote_addr consistent; server {0}; server {1}; server {2}; server {3};",
    "ring, weights": "hash $remote_addr consistent; server {0} weight=5; server {1}; server {2} weight=3;",
    "ring, one down": "hash $remote_addr consistent; server {0}; server {1} down; server {2};",
    "ring, one refuses": "hash $remote_addr consistent; server {0}; server {dead} max_fails=0; server {2};",
    "ring, twice the same": "hash $remote_addr consistent; server {0}; server {0}; server {2};",
    "round robin, weights": "server {0} weight=5; server {1}; server {2} weight=2;",
    "round robin, zone": "zone z 64k; server {0} weight=5; server {1}; server {2} weight=2;",
    "least_conn": "least_conn; server {0} weight=5; server {1}; server {2} weight=2;",
}
# name: the same, and the share of each server
SPREAD = {
    "random": ("random; server {0} weight=3; server {1};", {0: 0.75, 1: 0.25}),
    "random two": ("random two least_conn; server {0}; server {1}; server {2};", {0: 1 / 3, 1: 1 / 3, 2: 1 / 3}),
}
TOLERANCE, SPREAD_CLIENTS = 0.1, 600


def whole(ports):
    addresses = [f"127.0.0.1:{port}" for port in ports[:SERVERS]]
    groups, fronts = [], {}
    for at, (name, text) in enumerate([*SAME.items(), *((n, t[0]) for n, t in SPREAD.items())]):
        fronts[name] = ports[SERVERS + 1 + at]
        text = text.format(*addresses, dead=f"127.0.0.1:{ports[SERVERS]}")
        groups.append(f"upstream g{at} {{ {text.replace('zone z', f'zone z{at}')} }}\n"
                      f"server {{ listen 127.0.0.1:{fronts[name]}; proxy_pass g{at}; }}")
    servers = [f"server {{ listen {address}; return {at}; }}" for at, address in enumerate(addresses)]
    return "\n".join(groups + servers), fronts


def ask(port, source):
    with socket.socket() as one:
        one.settimeout(8)
        one.bind((source, 0))
        one.connect(("127.0.0.1", port))
        data = b""
        while block := one.recv(100):
            data += block
    return data.decode()


def answers(kind, stream, fronts):
    build = os.path.join(ROOT, os.environ.get("SPCD_BUILD", "build"))
    with tempfile.TemporaryDirectory(prefix="spc-") as folder:
        os.chmod(folder, 0o755)
        server = Server(kind, folder, {name: f"{build}/{name}" for name in ("spcc", "spcd")})
        if not server.place(server.whole_config("", stream, {"workers": "1", "connections": "512", "level": "crit"})):
            raise Failure(f"{kind} refuses it:\n{server.complaint}")
        try:
            server.start()
            seen = {name: [ask(fronts[name], f"127.{at % 3 + 1}.{at}.9") for at in range(CLIENTS)] for name in SAME}
            for name in SPREAD if kind == "spcd" else ():
                seen[name] = [ask(fronts[name], "127.0.0.1") for _ in range(SPREAD_CLIENTS)]
            return seen
        finally:
            server.kill()


def main():
    first = Ports().take(SERVERS + 1 + len(SAME) + len(SPREAD))
    stream, fronts = whole(list(range(first, first + SERVERS + 1 + len(SAME) + len(SPREAD))))
    theirs, ours = (answers(kind, stream, fronts) for kind in ("nginx", "spcd"))
    failed = 0
    for name in SAME:
        wrong = [at for at in range(CLIENTS) if theirs[name][at] != ours[name][at]]
        if wrong:
            failed += 1
            print(f"FAILED {name}: {len(wrong)} of {CLIENTS} clients, first {wrong[0]}: nginx "
                  f"{theirs[name][wrong[0]]!r}, spcd {ours[name][wrong[0]]!r}")
    for name, (_, shares) in SPREAD.items():
        counts = collections.Counter(ours[name])
        if any(abs(counts[str(at)] / SPREAD_CLIENTS - share) > TOLERANCE for at, share in shares.items()):
            failed += 1
            print(f"FAILED {name}: {dict(counts)}")
    print(f"{len(SAME) + len(SPREAD) - failed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        print(f"FAILED: {failure}\n0 passed, 1 failed")
        sys.exit(1)
