#!/usr/bin/python3
"""Names of upstream servers: with several addresses as in nginx, unknown ones, ones that become known, and a name server
that does not answer. /etc/hosts and /etc/resolv.conf are our own, in namespaces. Last line: "N passed, N failed".

    tests/upstream/names.py
"""
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, ROOT + "/tests/engine")
sys.dont_write_bytecode = True

from namespace import enter  # noqa: E402
from server import Server  # noqa: E402
from tally import Tally  # noqa: E402
from wire import Ports  # noqa: E402

BUILD = os.path.join(ROOT, os.environ.get("SPCD_BUILD", "build"))
KNOWN = """127.0.0.1 localhost
127.0.0.11 two
127.0.0.12 two
2001:db8::5 mixed
127.0.0.13 mixed
127.0.0.14 mixed
"""
ADDRESSES = ["127.0.0.11", "127.0.0.12", "127.0.0.13", "127.0.0.14", "[2001:db8::5]"]
ASKED = 12
LOST = 61  # names that a silent name server is asked for, each for a second
AGAIN = 10  # seconds, until spcd asks again
# what stands in the group; {0} is the port that all servers have, {1} one that nobody listens to
BOTH = [
    "server two:{0}; server 127.0.0.13:{0} weight=2;",
    "server mixed:{0};",
    "server mixed:{0} weight=3; server two:{0} down; server 127.0.0.11:{0};",
    "hash $remote_addr; server two:{0} weight=2; server mixed:{0};",
    "hash $remote_addr consistent; server two:{0} weight=2; server mixed:{0};",
    "hash $remote_addr consistent; server two:{0} down; server mixed:{0};",
    "least_conn; server two:{0}; server mixed:{0};",
    "server 127.0.0.1:{1}; server two:{0} backup; server mixed:{0} backup;",
    "zone z 64k; server two:{0}; server mixed:{0} max_fails=0;",
]
OURS = [  # and who answers as long as "later" is not known
    ("server later:{0};", [""]),
    ("server later:{0}; server two:{0};", ["127.0.0.11", "127.0.0.12"]),
    ("server later:{0}; server two:{0} backup;", ["127.0.0.11", "127.0.0.12"]),
    ("server later:{0} backup; server 127.0.0.1:{1};", [""]),
    ("hash $remote_addr consistent; server later:{0}; server 127.0.0.13:{0};", ["127.0.0.13"]),
    ("zone y 64k; least_conn; server later:{0}; server 127.0.0.13:{0};", ["127.0.0.13"]),
]


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def ask(port, source="127.0.0.1"):
    with socket.socket() as one:
        one.settimeout(8)
        one.bind((source, 0))
        one.connect(("127.0.0.1", port))
        data = b""
        while block := one.recv(100):
            data += block
    return data.decode()


def stream(groups, ports):
    lines = [f"upstream g{at} {{ {text.format(ports[0], ports[1])} }}\nserver {{ listen 127.0.0.1:{ports[2 + at]}; proxy_pass g{at}; }}"
             for at, text in enumerate(groups)]
    listens = " ".join(f"listen {address}:{ports[0]};" for address in ADDRESSES)
    return "\n".join(lines) + f"\nserver {{ {listens} return $server_addr; }}\n"


def make(kind, folder, text):
    server = Server(kind, folder, {name: f"{BUILD}/{name}" for name in ("spcc", "spcd")})
    assert server.place(server.whole_config("", text, {"workers": "1", "connections": "256", "level": "notice"})), server.complaint
    return server


def several(ports):
    """The same sources in the same order, through nginx and spcd."""
    text = stream(BOTH, ports)
    text += f"server {{ listen 127.0.0.1:{ports[-1]}; proxy_pass mixed:{ports[0]}; }}\n"
    seen = {}
    for kind in ("nginx", "spcd"):
        with tempfile.TemporaryDirectory(prefix="spc-") as folder:
            os.chmod(folder, 0o755)
            server = make(kind, folder, text)
            server.start()
            seen[kind] = [[ask(port, f"127.0.{at}.9") for at in range(1, ASKED)] for port in (*ports[2 : 2 + len(BOTH)], ports[-1])]
            server.end()
    for group, theirs, ours in zip((*BOTH, "proxy_pass"), seen["nginx"], seen["spcd"]):
        yield theirs == ours, f"{group}\n    nginx {theirs}\n    spcd  {ours}"


def unknown(ports):
    """A name that is not known keeps nobody from starting; it is asked for again, and by a reload."""
    with tempfile.TemporaryDirectory(prefix="spc-") as folder:
        os.chmod(folder, 0o755)
        server = make("spcd", folder, stream([text for text, _ in OURS], ports))
        server.start()
        for at, (text, answers) in enumerate(OURS):
            seen = [ask(ports[2 + at]) for _ in range(4)]
            yield sorted(set(seen)) == answers, f"{text}: {seen}"
        said = server.read("error.log")
        line = 1 + next(i for i, one in enumerate(server.read("main.conf").split("\n")) if "later" in one)
        yield f'host not found in upstream "later:{ports[0]}" (' in said, "the log says so"
        yield f"main.conf:{line}; it is down until it is" in said, f"and where it stands: {said}"
        yield 'no live upstreams while connecting to upstream' in said, "what there is for its sessions"
        write("/etc/hosts", KNOWN + "127.0.0.14 later\n")
        yield server.wait(lambda: ask(ports[2]) == "127.0.0.14", 25), "it is found, without a reload"
        for at, (text, answers) in enumerate(OURS):
            seen = [ask(ports[2 + at], f"127.0.{one}.9") for one in range(1, 30)]
            wanted = [answers, sorted([*answers, "127.0.0.14"])][at in (1, 4, 5)] if at not in (0, 2, 3) else ["127.0.0.14"]
            yield sorted(set(seen)) == wanted, f"{text}, once it is known: {seen}"
        write("/etc/hosts", KNOWN + "127.0.0.12 later\n")
        yield ask(ports[2]) == "127.0.0.14", "what it was found as stays"
        server.signal("HUP")
        yield server.wait(lambda: ask(ports[2]) == "127.0.0.12"), "until a reload"
        server.end()


def lost(ports):
    """A group that can be served, and one of names that nobody answers about."""
    names = "".join(f"server lost{at}.example:{ports[0]}; " for at in range(LOST))
    return stream(["server 127.0.0.13:{0};"], ports) + f"upstream lost {{ {names} }}\n"


def silent(ports):
    """While nobody answers about names: others are served, after the time of one name; and it can be told to end."""
    with tempfile.TemporaryDirectory(prefix="spc-") as folder, tempfile.TemporaryDirectory(prefix="spc-") as other, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        os.chmod(folder, 0o755)
        os.chmod(other, 0o755)
        deaf.bind(("127.0.0.53", 53))
        server, late = make("spcd", folder, lost(ports)), make("spcd", other, lost(ports[10:]))
        started = time.monotonic()
        server.start()
        yield server.wait(lambda: server.read("error.log").count("host not found") == LOST, LOST / 2), "all are asked for at once"
        yield ask(ports[2]) == "127.0.0.13", "the others are served"
        write("/etc/resolv.conf", "nameserver 127.0.0.53\noptions timeout:30 attempts:2\n")
        late.start()
        time.sleep(0.3)  # so that it asks
        late.signal("TERM")
        yield late.wait(lambda: late.process.poll() is not None, 20), "TERM ends a start"
        yield "does not end: it is killed" in late.read("error.log"), "and the log says how"
        late.kill()
        time.sleep(max(0, started + AGAIN + 2 - time.monotonic()))  # by now it asks again, for a minute
        yield ask(ports[2]) == "127.0.0.13", "the others are still served"
        server.signal("TERM")
        yield server.wait(lambda: server.process.poll() is not None, 20), "TERM ends it too"
        yield server.process.poll() == 0 and "it is killed" not in server.read("error.log"), "in order, though it asks"


def main():
    enter("-nm", "--propagation", "private")
    folder = tempfile.mkdtemp(prefix="spc-names-")
    for name, text in (("hosts", KNOWN), ("resolv.conf", "nameserver 127.0.0.53\noptions timeout:1 attempts:1\n"), ("nsswitch.conf", "hosts: files dns\n")):
        write(f"{folder}/{name}", text)
        subprocess.run(["mount", "--bind", f"{folder}/{name}", f"/etc/{name}"], check=True)
    for address in ("2001:db8::5/128", "10.0.0.5/32"):  # a family without an address but loopback is not asked about
        subprocess.run(["ip", "address", "add", address, "dev", "lo"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    held = Ports()
    first = held.take(20)
    tally = Tally()
    for case in (several, unknown, silent):
        for good, what in case(list(range(first, first + 20))):
            tally.check(good, f"{case.__name__}: {what}")
    shutil.rmtree(folder)
    return tally.end()


if __name__ == "__main__":
    sys.exit(main())
