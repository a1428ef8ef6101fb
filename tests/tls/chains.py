#!/usr/bin/python3
"""Is an upstream server's certificate good? Each chain of chain_table.py, asked of nginx (OpenSSL) and of spcd.

Both have the same configuration and see the same upstream server; what the error log says and whether the client was
served must be what the table says. Certificates are kept in build/chains. Arguments: cases that are wanted, and -v for
what was seen. Last line: "N passed, N failed".
"""
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [ROOT + "/tests/engine", HERE]
sys.dont_write_bytecode = True

import der  # noqa: E402

der.folder = ROOT + "/build/chains"
os.makedirs(der.folder, exist_ok=True)

import chain_table  # noqa: E402
from origins import Origin  # noqa: E402
from server import Server  # noqa: E402
from talk import Failure  # noqa: E402

SAYS = [
    (re.compile(r"verify error: \((\d+):"), lambda found: found[1]),
    (re.compile(r"certificate does not match"), lambda found: "name"),
    (re.compile(r"SSL_do_handshake\(\) failed|closed connection in SSL handshake"), lambda found: "shake"),
]
WORDS = re.compile(r"verify error: \((\d+:[^)]*)\)")


class LocalOrigin(Origin):
    """On a unix socket instead of a port."""

    def __init__(self, path, behaves):  # pylint: disable=super-init-not-called
        self.port, self.behaves = path, behaves
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(1024)
        threading.Thread(target=self.accept, daemon=True).start()


def lying_key(shown, used, path):
    """A key that says it belongs to a certificate, and signs with another."""
    number = der.openssl("pkey", "-in", der.key_file(used), "-outform", "DER", "-traditional")
    secret, point = number[7:39], der.public(shown)[-65:]
    body = der.sequence(der.integer(1), der.tlv(4, secret), der.tlv(0xa0, der.oid("1.2.840.10045.3.1.7")),
                        der.tlv(0xa1, der.tlv(3, b"\0", point)))
    with open(path, "wb") as file:
        file.write(der.pem("EC PRIVATE KEY", body))
    return path


def write(path, kind, things):
    with open(path, "wb") as file:
        for thing in things:
            file.write(der.pem(kind, thing.der))


def secure(folder, at, case):
    path = f"{folder}/shown{at}.pem"
    write(path, "CERTIFICATE", case["chain"])
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.set_ciphers("ALL:@SECLEVEL=0")
    key = der.key_file(case["key"])
    if case["key"] != case["chain"][0].key:
        key = lying_key(case["chain"][0].key, case["key"], f"{folder}/lying{at}.key")
    made.load_cert_chain(path, key)
    return made


def shows(folder, wanted):
    """A process that does what OpenSSL would not: for each path of a socket how often its keys change, its key, and
    the certificates of its chain."""
    lines = ""
    for at, (path, updates, key, chain) in enumerate(wanted):
        paths = []
        for part, one in enumerate(chain):
            paths.append(f"{folder}/broken{at}.{part}")
            with open(paths[-1], "wb") as file:
                file.write(one.der)
        lines += " ".join([path, str(updates), der.key_file(key), *paths]) + "\n"
    process = subprocess.Popen([sys.executable, HERE + "/shows.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               text=True)
    process.stdin.write(lines + "\n")
    process.stdin.flush()
    if process.stdout.readline() != "ready\n":
        raise Failure("shows.py does not serve")
    return process


def speaks(made):
    def behave(client):
        with made.wrap_socket(client, server_side=True) as connection:
            while data := connection.recv(100):
                connection.sendall(data[::-1])
    return behave


def configure(folder, cases):
    parts = ["proxy_ssl on; proxy_ssl_verify on; proxy_ssl_session_reuse off; proxy_ssl_protocols TLSv1.2 TLSv1.3;",
             "proxy_ssl_server_name off; proxy_next_upstream off;"]
    for at, case in enumerate(cases):
        write(f"{folder}/trust{at}.pem", "CERTIFICATE", case["trust"])
        more = f"proxy_ssl_trusted_certificate trust{at}.pem; proxy_ssl_verify_depth {case['depth']}; "
        if case["crl"]:
            write(f"{folder}/list{at}.pem", "X509 CRL", case["crl"])
            more += f"proxy_ssl_crl list{at}.pem; "
        if "level" in case:
            more += f"proxy_ssl_ciphers DEFAULT:@SECLEVEL={case['level']}; "
        parts.append(f"server {{ listen unix:{folder}/f{at}; proxy_pass unix:{folder}/o{at}; "
                     f"proxy_ssl_name \"{case['ask']}\"; {more}}}")
    return "\n".join(parts)


def ask(path):
    """Is the client served?"""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(8)
        try:
            client.connect(path)
            client.sendall(b"abc")
            return client.recv(100) == b"cba"
        except OSError:
            return False


def answer_of(served, lines):
    """As the table has it; and the words."""
    for pattern, what in SAYS:
        found = pattern.search(lines)
        if found:
            words = WORDS.search(lines)
            return what(found) if not served else "served in spite", words[1] if words else None
    return "200" if served else "nothing: " + lines, None


def play(kind, folder, cases):
    build = os.path.join(ROOT, os.environ.get("SPCD_BUILD", "build"))
    server = Server(kind, folder, {name: f"{build}/{name}" for name in ("spcc", "spcd")})
    if not server.place(server.whole_config("", configure(folder, cases),
                                            {"workers": "1", "connections": "512", "level": "info"})):
        raise Failure(f"{kind} refuses it:\n{server.complaint}")
    for at in range(len(cases)):
        if os.path.exists(f"{folder}/f{at}"):
            os.unlink(f"{folder}/f{at}")
    try:
        server.start()
        served = [ask(f"{folder}/f{at}") for at in range(len(cases))]
    finally:
        server.end()
    lines = {}
    for line in server.read("error.log").splitlines():
        found = re.search(rf"server: unix:{folder}/f(\d+),", line)
        if found:
            lines[int(found[1])] = lines.get(int(found[1]), "") + line + "\n"
    os.rename(folder + "/error.log", f"{folder}/error.{kind}")
    return [answer_of(one, lines.get(at, "")) for at, one in enumerate(served)]


def judge(case, theirs, ours):
    """What is wrong; None for nothing."""
    expected, why = case.get("ours", (case["answer"], None))
    if theirs[0] != case["answer"]:
        return f"nginx says {theirs}, the table {case['answer']}; spcd {ours}"
    if ours[0] != expected:
        return f"spcd says {ours}, nginx {theirs}"
    if not why and ours[1] != theirs[1]:
        return f"spcd says {ours[1]}, nginx {theirs[1]}"
    return None


def missing_reasons(cases):
    """How many of the reasons for another answer are not in docs/DIFFERENCES.md."""
    with open(ROOT + "/docs/DIFFERENCES.md", encoding="utf-8") as file:
        text = file.read()
    missing = {case["ours"][1] for case in cases if "ours" in case and f"- **{case['ours'][1]}**" not in text}
    for why in missing:
        print(f"FAILED docs/DIFFERENCES.md does not explain: {why}")
    return len(missing)


def main(wanted):
    talkative = "-v" in wanted
    wanted = [word for word in wanted if word != "-v"]
    cases = [case for case in chain_table.fill() if not wanted or case["title"] in wanted]
    failed = missing_reasons(cases)
    with tempfile.TemporaryDirectory(prefix="spc-") as folder:
        os.chmod(folder, 0o755)
        for at, case in enumerate(cases):
            if not case.get("broken"):
                LocalOrigin(f"{folder}/o{at}", speaks(secure(folder, at, case)))
        process = shows(folder, [(f"{folder}/o{at}", 0, case["key"], case["chain"])
                                 for at, case in enumerate(cases) if case.get("broken")])
        theirs, ours = play("nginx", folder, cases), play("spcd", folder, cases)
        process.communicate()
        for at, case in enumerate(cases):
            wrong = judge(case, theirs[at], ours[at])
            failed += wrong is not None
            if wrong or talkative:
                print(f"{'FAILED ' if wrong else ''}{case['title']}: {wrong or ours[at]}")
    print(f"{max(len(cases) - failed, 0)} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Failure as failure:
        print(f"FAILED: {failure}\n0 passed, 1 failed")
        sys.exit(1)
