#!/usr/bin/python3
"""server_name $hostname, in a machine of our own whose name we choose; last line: "N passed, N failed"."""
import os
import socket
import ssl
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [ROOT + "/tests/engine"]
sys.dont_write_bytecode = True

from namespace import enter  # noqa: E402
from server import Server  # noqa: E402

BUILD = os.path.join(ROOT, os.environ.get("SPCD_BUILD", "build"))
NAME, PORT = "Box7.example", 7000
STREAM = f"""
    ssl_preread on;
    server {{ listen {PORT}; server_name other.example; return other; }}
    server {{ listen {PORT}; server_name $hostname third.example; return "own $hostname"; }}
    server {{ listen {PORT}; server_name *.example; return wildcard; }}
    server {{ listen {PORT} default_server; server_name $hostname; return default; }}
"""
CASES = (
    ("box7.example", "own box7.example"),
    ("BOX7.EXAMPLE", "own box7.example"),
    ("third.example", "own box7.example"),
    ("other.example", "other"),
    ("ox7.example", "wildcard"),
    ("box7.example.org", "default"),
)


def hello(name):
    """The first bytes of a TLS client that asks for name."""
    out = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return out.read()
    raise AssertionError("a handshake without a server")


def ask(name):
    with socket.create_connection(("127.0.0.1", PORT), timeout=5) as client:
        client.sendall(hello(name))
        text = b""
        while more := client.recv(100):
            text += more
    return text.decode()


def main():
    enter("--net", "--uts")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    socket.sethostname(NAME)
    failed = 0
    with tempfile.TemporaryDirectory(prefix="spc-hostname-") as folder:
        server = Server("spcd", folder, {name: f"{BUILD}/{name}" for name in ("spcc", "spcd")})
        text = server.whole_config("master_process off;", STREAM,
                                   {"workers": "1", "connections": 64, "level": "warn"})
        assert server.place(text), server.complaint
        server.start()
        for name, wanted in CASES:
            seen = ask(name)
            if seen != wanted:
                failed += 1
                print(f"{name}: {seen!r}, not {wanted!r}")
        server.end()
    print(f"{len(CASES) - failed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
