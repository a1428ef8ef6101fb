#!/usr/bin/python3
"""Random servers that share addresses, and names that choose among them: by SNI in spcd's stream {}, by Host in nginx's http {}, since
Debian's nginx has no server_name in stream {}, and chooses the same way there. Last line: "N passed, N failed"; a test is a name.

    tests/server-name/http.py [--count N] [--seed S]
"""
import argparse
import os
import random
import socket
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, ROOT + "/tests/engine")
sys.dont_write_bytecode = True

from server import Server  # noqa: E402
from talk import Failure  # noqa: E402
from tally import Tally  # noqa: E402
from wire import PATIENCE, Ports  # noqa: E402

PORTS, SERVERS, CLIENTS = 2, 12, 150
HOSTS = ["127.0.0.1", "127.0.0.2", "*", "[::1]", "[::]"]
NAMES = ["a.example", "A.Example", "www.a.example", "b.example", "x.y.example", "*.example", "*.a.example", ".example", ".a.example",
         "www.*", "www.a.*", "a.*", "mail.example.*", "~^www", "~^(?<tail{at}>.+)\\.example$", "~A", "~^[a-c]\\.", "~example\\.$", "_", '""',
         "127.0.0.1", "~^$", "xn--bcher-kva.example", ".www.a.example", "~EXAMPLE$"]
ASKED = ["a.example", "A.EXAMPLE", "www.a.example", "www.a.example.", "b.example", "x.y.example", "z.x.y.example", "example", ".example",
         "www", "www.b", "www.a.b", "www.a", "a.b.c", "mail.example.org", "mail.example", "127.0.0.1", "_", "xn--bcher-kva.example", "aa.example",
         "q", "sub.www.a.example", "A.example:8080", "[::1]:80", "a.example.:"]  # and no name that http {} answers with 400, or that stream {} does not look for: none


def servers(pick, first):
    """The texts of some servers; no address is anybody's default twice."""
    out, defaults = [], set()
    for at in range(pick.randint(2, SERVERS)):
        lines = []
        for host, port in pick.sample([(host, first + port) for host in HOSTS for port in range(PORTS)], pick.choice([1, 1, 2, 3])):
            default = (host, port) not in defaults and pick.random() < 0.15
            if default:
                defaults.add((host, port))
            lines.append(f"listen {host}:{port}{' default_server' if default else ''};")
        names = pick.sample(NAMES, pick.choice([0, 1, 1, 2, 3, 4]))
        if names:
            cut = pick.randint(0, len(names))
            lines += [f"server_name {' '.join(part)};".replace("{at}", str(at)) for part in (names[:cut], names[cut:]) if part]
        out.append(" ".join(lines))
    return out


def hello(name):
    """A ClientHello for a name."""
    def vector(size, data):
        return len(data).to_bytes(size, "big") + data

    extension = b"\0\0" + vector(2, vector(2, b"\0" + vector(2, name.encode())))
    body = b"\3\3" + bytes(32) + b"\0" + vector(2, b"\x13\1") + vector(1, b"\0") + vector(2, extension)
    return b"\x16\3\1" + vector(2, b"\1" + vector(3, body))


def request(name):
    return f"GET / HTTP/1.0\r\nHost: {name}\r\n\r\n".encode()


def ask(address, data):
    with socket.create_connection(address, timeout=PATIENCE) as client:
        client.sendall(data)
        answer = b""
        while block := client.recv(4096):
            answer += block
        return answer.rpartition(b"\n")[2].decode()


def answers(kind, texts, asked):
    build = os.path.join(ROOT, os.environ.get("SPCD_BUILD", "build"))
    with tempfile.TemporaryDirectory(prefix="spc-") as folder:
        os.chmod(folder, 0o755)
        running = Server(kind, folder, {name: f"{build}/{name}" for name in ("spcc", "spcd")})
        body = "\n".join(f"server {{ {text} return {'200 ' if kind == 'nginx' else ''}{at}; }}" for at, text in enumerate(texts))
        main, stream = (f"http {{ access_log off; {body} }}", "") if kind == "nginx" else ("", "ssl_preread on;\n" + body)
        if not running.place(running.whole_config(main, stream, {"workers": "1", "connections": "512", "level": "crit"})):
            raise Failure(f"{kind} refuses it:\n{running.complaint}")
        try:
            running.start()
            return [ask(address, (request if kind == "nginx" else hello)(name)) for address, name in asked]
        finally:
            running.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    held, tally = Ports(), Tally()
    first = held.take(PORTS)
    for seed in range(chosen.seed, chosen.seed + chosen.count):
        pick = random.Random(seed)
        texts = servers(pick, first)
        hosts = {word.rpartition(":")[::2] for text in texts for word in text.replace(";", "").split() if word.rpartition(":")[2].isdigit()}
        reached = []
        for host, port in sorted(hosts):
            for target in {"*": ["127.0.0.1", "127.0.0.2", "127.0.0.3"], "[::]": ["::1"]}.get(host, [host.strip("[]")]):
                reached.append((target, int(port)))
        asked = [(pick.choice(reached), pick.choice(ASKED)) for _ in range(CLIENTS)]
        theirs, ours = (answers(kind, texts, asked) for kind in ("nginx", "spcd"))
        if theirs != ours:
            print("\n".join(f"server {at} {{ {text} }}" for at, text in enumerate(texts)))
        for one, a, b in zip(asked, theirs, ours):
            tally.check(a == b, f"seed {seed}: {one}: nginx chooses {a}, spcd {b}")
    return tally.end()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        print(f"FAILED: {failure}\n0 passed, 1 failed")
        sys.exit(1)
