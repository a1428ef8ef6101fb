#!/usr/bin/python3
"""Pins, the system's authorities, and files that change while spcd serves. Last line: "N passed, N failed"."""
import base64
import hashlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [ROOT + "/tests/engine", HERE]
sys.dont_write_bytecode = True

from origins import Authority, Origin, context, speaks  # noqa: E402
from server import Server  # noqa: E402
from talk import Failure  # noqa: E402
from tally import Tally  # noqa: E402
from wire import Ports  # noqa: E402

VERIFY = "proxy_ssl_verify on; proxy_ssl_name x.example; proxy_ssl_trusted_certificate "
OTHER = "sha256//" + base64.b64encode(bytes(32)).decode()
UNPINNED = "upstream SSL certificate has no key of proxy_ssl_pin"


def pin(certificate):
    """As the manual tells to make one."""
    key = subprocess.run(["openssl", "x509", "-in", certificate, "-noout", "-pubkey"], capture_output=True, check=True)
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "der"], input=key.stdout, capture_output=True, check=True)
    return "sha256//" + base64.b64encode(hashlib.sha256(der.stdout).digest()).decode()


def cases(folder):
    """Name, directives, what the log says; "": the session is good."""
    leaf, authority, stranger = (pin(f"{folder}/{name}.pem") for name in ("good", "ca", "other"))
    return [
        ("the server's key", f"proxy_ssl_pin {leaf};", ""),
        ("one of several", f"proxy_ssl_pin {OTHER} {leaf};", ""),
        ("another key", f"proxy_ssl_pin {OTHER};", UNPINNED),
        ("the authority's key, unverified", f"proxy_ssl_pin {authority};", UNPINNED),
        ("the authority's key", f"{VERIFY} ca.pem; proxy_ssl_pin {authority};", ""),
        ("the server's key, verified", f"{VERIFY} ca.pem; proxy_ssl_pin {leaf};", ""),
        ("a stranger's key, verified", f"{VERIFY} ca.pem; proxy_ssl_pin {stranger};", UNPINNED),
        ("the key, and an authority that is not trusted", f"{VERIFY} other.pem; proxy_ssl_pin {leaf};", "verify error"),
        ("the system's authorities", f"{VERIFY} system;", "verify error: ("),
    ]


def ask(port):
    """Whom the upstream server sees; None: the session was ended."""
    with socket.create_connection(("127.0.0.1", port), timeout=8) as client:
        try:
            client.sendall(b"who\n")
            line = client.makefile("rb").readline()
        except OSError:
            line = b""
    return json.loads(line)["client"] if line else None


def play_pins(server, first, port):
    table = cases(server.folder)
    servers = [f"server {{ listen 127.0.0.1:{first + at}; proxy_pass 127.0.0.1:{port}; proxy_ssl on; {directives} }}"
               for at, (_, directives, _) in enumerate(table)]
    place(server, "", "proxy_ssl_session_reuse off;\n" + "\n".join(servers))
    server.start()
    for at, (name, _, says) in enumerate(table):
        before = len(server.read("error.log"))
        seen, said = ask(first + at), server.read("error.log")
        yield (seen is None) == bool(says) and says in said[before:], f"{name}: {seen}\n{said[before:]}"
    server.end()


def place(server, main, stream):
    if not server.place(server.whole_config(main, stream, {"workers": "1", "connections": "64", "level": "info"})):
        raise Failure(f"spcc refuses it:\n{server.complaint}")


def replace(folder, source, target):
    """Write in pieces, as one who does not rename."""
    for end in ("pem", "key"):
        with open(f"{folder}/{source}.{end}", "rb") as file:
            content = file.read()
        with open(f"{folder}/{target}.{end}", "wb") as file:
            for at in range(0, len(content), 600):
                file.write(content[at:at + 600])
                file.flush()


def changes(server, main, front, port):
    """A certificate is replaced, then by rubbish, then back; a session lives on all the while. What is wrong."""
    folder = server.folder
    replace(folder, "one", "shown")
    place(server, main, f"server {{ listen 127.0.0.1:{front}; proxy_pass 127.0.0.1:{port}; proxy_ssl on; "
          "proxy_ssl_certificate shown.pem; proxy_ssl_certificate_key shown.key; proxy_ssl_certificate_reload on; }")
    server.start()
    try:
        with socket.create_connection(("127.0.0.1", front), timeout=8) as lasting:
            reader = lasting.makefile("rb")
            lasting.sendall(b"before\n")
            yield reader.readline() == b"erofeb\n", "a session before"
            yield ask(front) == ["one"], "the first certificate"
            replace(folder, "two", "shown")
            yield server.wait(lambda: ask(front) == ["two"]), "the second certificate"
            with open(f"{folder}/shown.key", "w", encoding="ascii") as file:
                file.write("rubbish\n")
            yield server.wait(lambda: "reading the key failed" in server.read("error.log")), "rubbish is told"
            yield ask(front) == ["two"], "rubbish is not used"
            replace(folder, "one", "shown")
            yield server.wait(lambda: ask(front) == ["one"]), "the first one again"
            yield server.read("error.log").count("reading the key failed") == 1, "rubbish is tried once"
            lasting.sendall(b"after\n")
            yield reader.readline() == b"retfa\n", "the session lives on"
    finally:
        server.end()


def unfinished(server, first, port):
    """A file that is being written is not taken up, though it is one of several servers'. What is wrong."""
    folder = server.folder
    replace(folder, "one", "shown")
    shared = "proxy_ssl on; proxy_ssl_certificate shown.pem; proxy_ssl_certificate_key shown.key; proxy_ssl_certificate_reload on;"
    servers = [f"server {{ listen 127.0.0.1:{first + at}; proxy_pass 127.0.0.1:{port}; proxy_ssl_protocols {version}; }}"
               for at, version in enumerate(("TLSv1.2", "TLSv1.3"))]
    place(server, "", shared + "\n".join(servers))
    server.start()
    try:
        yield ask(first) == ["one"] and ask(first + 1) == ["one"], "the first certificate, of both"
        longest, last = 0, time.monotonic()
        with open(f"{folder}/shown.pem", "a", encoding="ascii") as file:
            for _ in range(25):
                file.write("more\n")
                file.flush()
                time.sleep(0.1)
                longest, last = max(longest, time.monotonic() - last), time.monotonic()
            taken = "a file of the configuration has changed" in server.read("error.log")
        yield longest > 0.9 or not taken, "what is written to each tenth of a second has not changed yet"
        yield server.wait(lambda: "a file of the configuration has changed" in server.read("error.log")), "then it has"
    finally:
        server.end()


def main():
    build = os.path.join(ROOT, os.environ.get("SPCD_BUILD", "build"))
    tools = {name: f"{build}/{name}" for name in ("spcc", "spcd")}
    held = Ports()
    first = held.take(20)
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="spc-") as folder:
        os.chmod(folder, 0o755)
        ca = Authority(folder)
        Authority(folder, "other")
        ca.issue("good", "x.example", "subjectAltName=DNS:x.example\n")
        for name in ("one", "two"):
            ca.issue(name, name, "extendedKeyUsage=clientAuth\n")
        port = Origin(first, speaks(context(ca, "good", clients="CERT_OPTIONAL"))).port
        for good, what in play_pins(Server("spcd", folder, tools), first + 1, port):
            tally.check(good, what)
        for good, what in unfinished(Server("spcd", folder, tools), first + 17, port):
            tally.check(good, what)
        os.unlink(folder + "/error.log")
        for main_part in ("", "master_process off;"):
            for good, what in changes(Server("spcd", folder, tools), main_part, first + 19, port):
                tally.check(good, f"{what} ({main_part or 'with a supervisor'})")
    return tally.end()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        print(f"FAILED: {failure}\n0 passed, 1 failed")
        sys.exit(1)
