#!/usr/bin/python3
"""Random maps, geos, splits and expressions, evaluated by nginx and by spcd: the same strings.

    tests/differential/run.py [--count N] [--seed S]

One configuration has some tables and many servers; each server sets a name and an address and returns what every table
makes of them. Both programs serve it in turn on the same ports. Last line: "N passed, N failed"; a test is a value.
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
from wire import Ports  # noqa: E402

TABLES, SERVERS = 24, 48
LABELS = ["a", "B", "cc", "www", "Mail", "example", "x-1", "com", "net", "deep"]
PATTERNS = ["~^www\\.", "~*^MAIL", "~\\.(?<tail%d>com|net)$", "~^(\\w+)\\.(\\w+)", "~x-(\\d)", "~*deep|b", "~^$", "~a.*m"]


class Maker:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def name(self):
        pick = self.random
        text = ".".join(pick.choice(LABELS) for _ in range(pick.randint(1, 4)))
        return pick.choice([text, text, text.upper(), text + ".", "." + text, "", text + "$"[:0]])

    def four(self):
        pick = self.random
        return ".".join(str(pick.choice([0, 1, 10, 127, 128, 255, pick.randint(0, 255)])) for _ in range(4))

    def six(self):
        pick = self.random
        return ":".join(f"{pick.choice([0, 1, 0x2001, 0xdb8, 0xffff, pick.randint(0, 0xffff)]):x}" for _ in range(8))

    def address(self):
        return self.random.choice([self.four, self.four, self.six, lambda: "::ffff:" + self.four(), lambda: "no address",
                                   lambda: "", lambda: "127.0.0.1", self.within])()

    def within(self):
        """In a range that a geo may have, and near the ones inside it."""
        return f"{20 * self.random.randint(0, 11)}.5.0.{self.random.randint(0, 9)}"

    def value(self, at):
        pick = self.random
        if 1 < at < 8 and pick.random() < 0.4:  # what is made of two tables stands behind what these make
            return f"\"<$t{pick.randrange(at)} $t{pick.randrange(at)}>\""
        return pick.choice([f"v{pick.randint(0, 9)}", f"[$name-{at}]", "\"two words\"", f"$server_port:{at}", "\"\"", "a${name}b",
                            f"$t{at - 1}" if at else "none"])

    def key(self, hostnames):
        pick, name = self.random, self.name().strip(".") or "k"
        if hostnames and pick.random() < 0.5:
            return pick.choice(["*." + name, "." + name, name + ".*"])
        return pick.choice([name, name.lower(), "\\" + name, "\"" + name + "\""])

    def map(self, at):
        pick = self.random
        hostnames = pick.random() < 0.5
        lines, seen = (["hostnames;"] if hostnames else []), set()
        if pick.random() < 0.7:
            lines.append(f"default {self.value(at)};")
        for _ in range(pick.randint(1, 12)):
            key = self.key(hostnames)
            plain = key.strip("\"\\").lower()
            if not seen & clashes(plain):
                seen |= clashes(plain)
                lines.append(f"{key} {self.value(at)};")
        for pattern in pick.sample(PATTERNS, pick.randint(0, 3)):
            pattern = pattern % at if "%d" in pattern else pattern
            lines.append(f"\"{pattern}\" \"{self.random.choice(['$1/$2', 'p%d' % at, '$0'[:0] + '<$1>'])}\";")
        source = pick.choice(["$name", "$name", "${name}", "\"${name}.com\""])
        return f"map {source} $t{at} {{ {' '.join(lines)} }}"

    def geo(self, at):
        pick = self.random
        ranges = pick.random() < 0.3
        lines, seen = (["ranges;"] if ranges else []), set()
        if pick.random() < 0.7:
            lines.append(f"default d{at};")
        for step in range(pick.randint(1, 12)):
            if ranges:
                text = f"{step * 20}.0.0.{pick.randint(0, 9)}-{step * 20 + pick.randint(0, 19)}.255.{pick.randint(0, 255)}.255"
            elif pick.random() < 0.7:
                text = network(self.four(), pick.choice([0, 1, 7, 8, 9, 16, 24, 31, 32]), socket.AF_INET)
            else:
                text = network(self.six(), pick.choice([0, 1, 16, 32, 33, 64, 127, 128]), socket.AF_INET6)
            if text not in seen:
                seen.add(text)
                lines.append(f"{text} g{pick.randint(0, 5)};")
            if ranges and pick.random() < 0.4:  # inside the one before; nginx refuses them the other way round
                inner = f"{step * 20}.5.0.{pick.randint(1, 3)}-{step * 20}.5.0.{pick.randint(3, 8)}"
                lines.append(f"{inner} inner{pick.randint(0, 5)};")
                if pick.random() < 0.3:
                    lines.append(f"delete {inner};")
        if not ranges and pick.random() < 0.2:
            lines.append(f"default late{at};")
        return f"geo $address $t{at} {{ {' '.join(lines)} }}"

    def split(self, at):
        pick, left, lines = self.random, 10000, []
        for _ in range(pick.randint(1, 5)):
            part = pick.randint(1, max(1, left // 2))
            left -= part
            lines.append(f"{part / 100:.2f}% s{pick.randint(0, 9)};")
        if pick.random() < 0.7:
            lines.append("* rest;")
        return f"split_clients \"${{name}}{pick.choice(['', 'x', '$address'])}\" $t{at} {{ {' '.join(lines)} }}"

    def stream(self, ports):
        tables = [self.random.choice([self.map, self.map, self.geo, self.split])(at) for at in range(TABLES)]
        order = "|".join(f"${{t{at}}}" for at in self.random.sample(range(TABLES), TABLES))
        servers = [f"server {{ listen 127.0.0.1:{port}; set $name \"{self.name()}\"; set $address \"{self.address()}\";"
                   f" return \"{order}\"; }}" for port in ports]
        return "\n".join(tables + servers) + "\n"


def clashes(key):
    """The keys that nginx would take for the same."""
    if key.startswith("*."):
        return {"head" + key[2:]}
    if key.startswith("."):
        return {"head" + key[1:], "exact" + key[1:]}
    return {"tail" + key[:-2]} if key.endswith(".*") else {"exact" + key}


def network(text, bits, family):
    size = 32 if family == socket.AF_INET else 128
    number = int.from_bytes(socket.inet_pton(family, text), "big") >> (size - bits) << (size - bits)
    return socket.inet_ntop(family, number.to_bytes(size // 8, "big")) + f"/{bits}"


def answer(port):
    with socket.create_connection(("127.0.0.1", port), 8) as one:
        data = b""
        while block := one.recv(65536):
            data += block
    return data.decode("utf-8", "replace").split("|")


def answers(kind, stream, ports):
    build = os.path.join(ROOT, os.environ.get("SPCD_BUILD", "build"))
    with tempfile.TemporaryDirectory(prefix="spc-") as folder:
        os.chmod(folder, 0o755)
        server = Server(kind, folder, {name: f"{build}/{name}" for name in ("spcc", "spcd")})
        settings = {"workers": "1", "connections": "256", "level": "error"}
        if not server.place(server.whole_config("", stream, settings)):
            raise Failure(f"{kind} refuses it:\n{server.complaint}\n{stream}")
        try:
            server.start()
            return [answer(port) for port in ports]
        finally:
            server.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2 * TABLES * SERVERS)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    passed = failed = 0
    seed = chosen.seed
    while passed + failed < chosen.count:
        first = Ports().take(SERVERS)
        ports = range(first, first + SERVERS)
        stream = Maker(seed).stream(ports)
        theirs, ours = (answers(kind, stream, ports) for kind in ("nginx", "spcd"))
        for port, one, other in zip(ports, theirs, ours):
            good = sum(a == b for a, b in zip(one, other)) if len(one) == len(other) == TABLES else 0
            passed, failed = passed + good, failed + TABLES - good
            if good < TABLES and failed < 200:
                server = next(line for line in stream.split("\n") if f":{port};" in line)
                print(f"FAILED seed {seed}: {server}\n  nginx: {one}\n  spcd:  {other}")
        seed += 1
    print(f"{passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        print(f"FAILED: {failure}\n0 passed, 1 failed")
        sys.exit(1)
