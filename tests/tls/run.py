#!/usr/bin/python3
"""TLS with upstream servers: the same sessions through nginx and spcd. Last line: "N passed, N failed".

What the client received, what the upstream server saw of names, protocols and certificates, the access log's fields and
nginx's sentences in the error log must be the same in both; and the status must be what is written here. Cases of what
Debian's nginx does not have run through spcd only.
"""
import json
import os
import re
import socket
import stat
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [ROOT + "/tests/engine", HERE]
sys.dont_write_bytecode = True

import origins  # noqa: E402
from origins import Authority, Origin, context, speaks  # noqa: E402
from server import Server  # noqa: E402
from talk import Failure  # noqa: E402
from wire import Ports  # noqa: E402

LOG = ("log_format case '$server_port $status $bytes_sent $bytes_received "
       "$upstream_bytes_sent $upstream_bytes_received $upstream_addr';")
VERIFY = "proxy_ssl_verify on; proxy_ssl_trusted_certificate ca.pem; proxy_ssl_name x.example;"
CLIENT = "proxy_ssl_certificate client.pem; proxy_ssl_certificate_key client.key;"
SIGN = "proxy_ssl_conf_command ClientSignatureAlgorithms RSA-PSS+SHA512;"
WHO = ["who", "bye"]
END = None  # instead of a line: the server's end is waited for
# name, origins, directives, lines of the client, status, and what else
CASES = [
    ("in clear otherwise", ["good"], "", WHO, "200", {}),
    ("a line and the end", ["good"], "", ["hello", "bye"], "200", {}),
    ("verified", ["good"], VERIFY, WHO, "200", {}),
    ("the name is sent", ["good"], VERIFY + "proxy_ssl_server_name on;", WHO, "200", {}),
    ("a name with a port", ["good"], VERIFY.replace("x.example", "x.example:443") + "proxy_ssl_server_name on;", WHO,
     "200", {}),
    ("an address is not sent", ["good"], "proxy_ssl_server_name on;", WHO, "200", {}),
    ("a name from a variable", ["good"], VERIFY.replace("x.example", "x.$tail") + "proxy_ssl_server_name on;", WHO,
     "200", {}),
    ("another name", ["good"], VERIFY.replace("x.example", "y.example"), WHO, "502",
     {"says": r'upstream SSL certificate does not match "y.example"'}),
    ("another authority", ["good"], VERIFY.replace("ca.pem", "other.pem"), WHO, "502",
     {"says": r"upstream SSL certificate verify error: \(\d+:[^)]*\)"}),
    ("the next server is good", ["alien", "good"], VERIFY, WHO, "200", {"says": "upstream SSL certificate verify"}),
    ("TLS 1.2", ["good"], "proxy_ssl_protocols TLSv1.2;", WHO, "200", {}),
    ("TLS 1.2 of the server", ["old"], VERIFY, WHO, "200", {}),
    ("a cipher", ["old"], "proxy_ssl_ciphers ECDHE-RSA-AES256-GCM-SHA384;", WHO, "200", {}),
    ("no common cipher", ["picky"], "proxy_ssl_ciphers ECDHE-RSA-AES128-GCM-SHA256; proxy_ssl_protocols TLSv1.2;", WHO,
     "502", {"says": r"SSL_do_handshake\(\) failed"}),
    ("no common version", ["old"], "proxy_ssl_protocols TLSv1.3;", WHO, "502", {"says": r"SSL_do_handshake\(\) failed"}),
    ("a command", ["good"], "proxy_ssl_conf_command MaxProtocol TLSv1.2;", WHO, "200", {}),
    ("a signature that the server takes", ["signed512"], CLIENT + SIGN, ["hello"], "200", {}),
    ("a signature that it does not take", ["signed256"], CLIENT + SIGN, ["hello"], "502",
     {"says": r"SSL_do_handshake\(\) failed"}),
    ("a client's certificate", ["asks"], CLIENT, WHO, "200", {}),
    ("a client's key of P-384", ["asks"], CLIENT.replace("client.", "client384."), WHO, "200", {}),
    ("a client's key of Ed25519", ["asks"], CLIENT.replace("client.", "client25519."), WHO, "200", {}),
    ("a key that is locked", ["asks"], CLIENT.replace("client.key", "locked.key") + "proxy_ssl_password_file words;",
     WHO, "200", {}),
    ("no certificate where one is asked for", ["asks12"], "", WHO, "502", {"says": r"SSL_do_handshake\(\) failed"}),
    ("PROXY header in clear", ["preamble"], "proxy_protocol on;", WHO, "200", {}),
    ("a server that speaks first and ends", ["good"], "", ["bye"], "200", {}),
    ("a server that ends it and waits", ["waits"], "", ["hello", END], "200", {}),
    ("records that do not fit a buffer", ["long"], "", ["hello"], "200", {}),
    ("a greeting with the end of the handshake", ["greets"], "", ["hello"], "200", {}),
    ("no TLS", ["http"], "", WHO, "502", {"says": r"SSL_do_handshake\(\) failed"}),
    ("a server that ends at the hello", ["slams"], "", WHO, "502", {"says": "peer closed connection in SSL handshake"}),
    ("a server that stalls", ["stalls", "good"], "proxy_connect_timeout 200ms;", WHO, "200", {}),
    ("records in pieces of 1", ["slow1"], VERIFY, WHO, "200", {}),
    ("records in pieces of 7", ["slow7"], VERIFY, WHO, "200", {}),
    ("revoked", ["good"], VERIFY + "proxy_ssl_crl revoked.crl;", WHO, "502", {"says": r"\(23:certificate revoked\)"}),
    ("not revoked", ["good"], VERIFY + "proxy_ssl_crl nobody.crl;", WHO, "200", {}),
    ("a chain that is too long", ["deep"], VERIFY, WHO, "502", {"says": r"\(20:unable to get local issuer certificate\)"}),
    ("a chain that may be long", ["deep"], VERIFY + "proxy_ssl_verify_depth 2;", WHO, "200", {}),
    ("a protocol", ["good"], "proxy_ssl_alpn nine h9;", WHO, "200", {"only": "spcd", "alpn": "h9"}),
    ("a protocol from a variable", ["good"], "proxy_ssl_alpn $nothing $two;", WHO, "200", {"only": "spcd", "alpn": "two"}),
    ("an address in the certificate", ["good"], VERIFY.replace("x.example", "127.0.0.1"), WHO, "200", {"only": "spcd"}),
    ("keys in a file", ["good"], "proxy_ssl_key_log keys.log;", WHO, "200", {"only": "spcd"}),
    ("a certificate by variable", ["asks"], "proxy_ssl_certificate $who.pem; proxy_ssl_certificate_key $who.key;", WHO,
     "200", {}),
    ("no certificate by variable", ["asks"], "proxy_ssl_certificate $nothing; proxy_ssl_certificate_key $nothing;", WHO,
     "200", {}),
    ("a certificate by variable that is not there", ["asks"],
     "proxy_ssl_certificate $who.lost; proxy_ssl_certificate_key $who.key;", WHO, "500",
     {"says": "cannot load certificate"}),
    ("a key by variable that is another's", ["asks"],
     "proxy_ssl_certificate $who.pem; proxy_ssl_certificate_key ${who}384.key;", WHO, "500",
     {"only": "spcd", "says": "joining certificate and key failed .*MISMATCH"}),
    ("a locked key by variable", ["asks"], "proxy_ssl_certificate $who.pem; proxy_ssl_certificate_key locked$nothing.key; "
     "proxy_ssl_password_file words;", WHO, "200", {}),
    ("a certificate that is kept", ["asks"], "proxy_ssl_certificate kept$nothing.pem; "
     "proxy_ssl_certificate_key kept$nothing.key; proxy_ssl_certificate_cache max=1 valid=1s inactive=5s;", WHO, "200",
     {"only": "spcd"}),
    ("a name that is too long", ["good"], "proxy_ssl_server_name on; proxy_ssl_name $long;", WHO, "500",
     {"only": "spcd", "says": "the name of the upstream server has more than 255 bytes"}),
]
# directives that spcd refuses before it serves, and what it says; line 3 of the file is where they stand
REFUSED = [
    ("proxy_ssl_verify on; proxy_ssl_trusted_certificate nowhere.pem;",
     r"open\(\) nowhere.pem of proxy_ssl_trusted_certificate, refused.conf:3, failed \(2: No such file or directory\)"),
    ("proxy_ssl_verify on; proxy_ssl_trusted_certificate words;",
     r"reading the trusted certificates failed .* of proxy_ssl_trusted_certificate words \(refused.conf:3\)"),
    ("proxy_ssl_verify on; proxy_ssl_trusted_certificate ca.pem; proxy_ssl_crl ca.pem;",
     "reading the revoked certificates failed"),
    ("proxy_ssl_certificate words; proxy_ssl_certificate_key client.key;",
     r"reading the certificate failed .* of proxy_ssl_certificate words \(refused.conf:3\)"),
    ("proxy_ssl_certificate client.pem; proxy_ssl_certificate_key client.pem;", "reading the key failed"),
    ("proxy_ssl_certificate client.pem; proxy_ssl_certificate_key other.key;",
     "joining certificate and key failed .*MISMATCH"),
    ("proxy_ssl_certificate client.pem; proxy_ssl_certificate_key locked.key;", "reading the key failed"),
]
TAIL = ('map $server_port $who { default client; }\n'
        'map $server_port $tail { default example; }\nmap $server_port $nothing { default ""; }\n'
        f'map $server_port $two {{ default two; }}\nmap $server_port $long {{ default {"x" * 300}; }}\n')


def make_files(folder):
    ca, other = Authority(folder), Authority(folder, "other")
    ca.issue("good", "x.example", "subjectAltName=DNS:x.example,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n")
    other.issue("alien", "x.example", "subjectAltName=DNS:x.example\n")
    ca.issue("middle", "middle", "basicConstraints=critical,CA:TRUE\n")
    middle = ca
    chain = b""
    for name in ("one", "two"):
        middle.issue(name, name, "basicConstraints=critical,CA:TRUE\n")
        middle = Authority.__new__(Authority)
        middle.folder, middle.name = folder, name
        with open(f"{folder}/{name}.pem", "rb") as file:
            chain = file.read() + chain
    middle.issue("deep", "x.example", "subjectAltName=DNS:x.example\n")
    with open(f"{folder}/deep.pem", "ab") as file:
        file.write(chain)
    for name, key in (("client", "rsa:2048"), ("client384", "secp384r1"), ("client25519", "ed25519")):
        ca.issue(name, name, "extendedKeyUsage=clientAuth\n", key)
    origins.run("openssl", "pkcs8", "-topk8", "-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA256", "-in", "client.key", "-out",
                "locked.key", "-passout", "pass:open sesame", cwd=folder)
    with open(f"{folder}/words", "w", encoding="ascii") as file:
        file.write("wrong\r\nopen sesame\r\n")
    with open(f"{folder}/ca.conf", "w", encoding="ascii") as file:
        file.write("[ca]\ndefault_ca=d\n[d]\ndatabase=index\ncrlnumber=number\ndefault_md=sha256\ndefault_crl_days=9\n")
    open(f"{folder}/index", "w", encoding="ascii").close()
    with open(f"{folder}/number", "w", encoding="ascii") as file:
        file.write("01\n")
    sign = ["openssl", "ca", "-config", "ca.conf", "-keyfile", "ca.key", "-cert", "ca.pem"]
    origins.run(*sign, "-gencrl", "-out", "nobody.crl", cwd=folder)
    origins.run(*sign, "-revoke", "good.pem", cwd=folder)
    origins.run(*sign, "-gencrl", "-out", "revoked.crl", cwd=folder)
    copy(folder, "client", "kept")
    return ca


def make_origins(ca, first):
    good = context(ca, "good")
    wants = ("-tls1_2", "-Verify", "1", "-sigalgs", "RSA-PSS+SHA256", "-client_sigalgs")
    kinds = {
        "good": speaks(good), "alien": speaks(context(ca, "alien")), "deep": speaks(context(ca, "deep")),
        "old": speaks(context(ca, "good", newest="TLSv1_2")),
        "picky": speaks(context(ca, "good", newest="TLSv1_2", ciphers="ECDHE-RSA-AES256-GCM-SHA384")),
        "asks": speaks(context(ca, "good", clients="CERT_OPTIONAL")),
        "asks12": speaks(context(ca, "good", newest="TLSv1_2", clients="CERT_REQUIRED")),
        "preamble": speaks(good, preamble=True), "http": origins.speaks_http,
        "signed256": origins.reverses(ca, *wants, "RSA-PSS+SHA256"), "signed512": origins.reverses(ca, *wants, "RSA-PSS+SHA512"),
        "slams": origins.slams,
        "stalls": origins.stalls, "slow1": origins.speaks_slowly(good, 1), "slow7": origins.speaks_slowly(good, 7),
        "waits": origins.sends_at_once(good, b"hello\n", None),
        "long": origins.sends_at_once(good, b"x" * 10000, b"y" * 9999 + b"\n"),
        "greets": origins.sends_at_once(context(ca, "good", newest="TLSv1_2"), b"welcome\n", greets=True),
    }
    return {name: Origin(first + at, behaves).port for at, (name, behaves) in enumerate(kinds.items())}


def whole(cases, ports, fronts):
    parts = [LOG, "access_log access.log case;", TAIL, "proxy_ssl_session_reuse off;"]
    parts.append("proxy_ssl_protocols TLSv1.2 TLSv1.3;")  # the default since 1.23.4, and Debian's is older
    for at, (_, kinds, directives, _, _, _) in enumerate(cases):
        servers = " ".join(f"server 127.0.0.1:{ports[kind]} max_fails=0;" for kind in kinds)
        parts.append(f"upstream u{at} {{ {servers} }}\nserver {{ listen 127.0.0.1:{fronts + at}; proxy_pass u{at}; "
                     f"proxy_ssl on; {directives} }}")
    return "\n".join(parts)


def converse(port, lines):
    """What the client receives, line by line, and how it ends."""
    seen = []
    with socket.create_connection(("127.0.0.1", port), timeout=8) as client:
        reader = client.makefile("rb")
        try:
            for line in lines:
                if line is END:
                    seen.append("no end" if reader.read() else "the end")
                    break
                client.sendall(line.encode() + b"\n")
                seen.append(reader.readline().decode().strip())
        except OSError:
            seen.append("")
    return [part for part in seen if part]


def logged(server, port):
    pattern = re.compile(rf"^{port} (.*)", re.MULTILINE)
    if not server.wait(lambda: pattern.search(server.read("access.log"))):
        raise Failure(f"{server.kind}: no line in the access log for {port}")
    return pattern.search(server.read("access.log")).group(1).split(" ", 5)


def copy(folder, source, target):
    for end in ("pem", "key"):
        with open(f"{folder}/{source}.{end}", "rb") as file, open(f"{folder}/{target}.new", "wb") as new:
            new.write(file.read())
        os.rename(f"{folder}/{target}.new", f"{folder}/{target}.{end}")


def ask_after_change(folder, port):
    """Whom the upstream server sees: before the files change, at once thereafter, when they are looked at again."""
    seen = []
    for source, pause in (("client", 0), ("client384", 0), ("client384", 1.2)):
        copy(folder, source, "kept")
        time.sleep(pause)
        seen += json.loads(converse(port, WHO)[0])["client"]
    copy(folder, "client", "kept")
    return seen


def play(kind, folder, cases, ports, fronts):
    build = os.path.join(ROOT, os.environ.get("SPCD_BUILD", "build"))
    server = Server(kind, folder, {name: f"{build}/{name}" for name in ("spcc", "spcd")})
    if not server.place(server.whole_config("", whole(cases, ports, fronts),
                                            {"workers": "1", "connections": "512", "level": "info"})):
        raise Failure(f"{kind} refuses it:\n{server.complaint}")
    try:
        server.start()
        seen = {}
        for at, (name, _, _, lines, _, _) in enumerate(cases):
            before = len(server.read("error.log"))
            got = converse(fronts + at, lines)
            fields = logged(server, fronts + at)
            says = server.read("error.log")[before:]
            if name == "a certificate that is kept":
                got = ask_after_change(folder, fronts + at)
            seen[name] = {"got": got, "log": fields[:5], "tries": fields[5], "says": says}
        return seen
    finally:
        server.end()


def judge(case, ours, theirs, folder):
    """What is wrong with how a case went; None for nothing."""
    name, _, _, _, status, more = case
    if ours["log"][0] != status:
        return f"status {ours['log'][0]}, not {status}\n{ours['says']}"
    if "says" in more and not re.search(more["says"], ours["says"]):
        return f"the log does not say {more['says']}:\n{ours['says']}"
    if "alpn" in more and json.loads(ours["got"][0])["alpn"] != more["alpn"]:
        return f"the wrong protocol: {ours['got']}"
    if name == "a certificate that is kept" and ours["got"] != ["client", "client", "client384"]:
        return f"seen: {ours['got']}"
    if name == "keys in a file":
        mode = stat.S_IMODE(os.stat(folder + "/keys.log").st_mode)
        with open(folder + "/keys.log", encoding="ascii") as file:
            if mode != 0o600 or not file.readline().startswith(("CLIENT", "SERVER", "EXPORTER")):
                return "the file of keys is wrong"
    if theirs is None:
        return None
    if "says" in more and not re.search(more["says"], theirs["says"]):
        return f"nginx's log does not say {more['says']}:\n{theirs['says']}"
    differ = [key for key in ("got", "log", "tries") if ours[key] != theirs[key]]
    return "\n".join(f"{key}: spcd {ours[key]}, nginx {theirs[key]}" for key in differ) or None


def refusals(folder):
    """What spcd says wrong of each of REFUSED; the number of those where it does not say what it should."""
    build, failed = os.path.join(ROOT, os.environ.get("SPCD_BUILD", "build")), 0
    for directives, says in REFUSED:
        with open(folder + "/refused.conf", "w", encoding="ascii") as file:
            file.write(f"stream {{ server {{ listen 127.0.0.1:19999; proxy_pass 127.0.0.1:1;\nproxy_ssl on;\n{directives} }} }}\n")
        subprocess.run([build + "/spcc", "-o", folder + "/refused.spcb", folder + "/refused.conf"], check=True,
                       capture_output=True)
        done = subprocess.run([build + "/spcd", "-t", "-p", folder, folder + "/refused.spcb"], capture_output=True,
                              text=True, check=False)
        if done.returncode == 0 or not re.search(says, done.stderr):
            failed += 1
            print(f"FAILED {directives}: exit {done.returncode}: {done.stderr}")
    return failed


def main():
    held = Ports()  # for as long as it lives
    first = held.take(40 + len(CASES) * 2)
    common = [case for case in CASES if case[5].get("only") != "spcd"]
    failed = 0
    with tempfile.TemporaryDirectory(prefix="spc-") as folder:
        os.chmod(folder, 0o755)
        ca = make_files(folder)
        ports = make_origins(ca, first)
        theirs = play("nginx", folder, common, ports, first + 40)
        os.rename(folder + "/access.log", folder + "/access.nginx")
        os.rename(folder + "/error.log", folder + "/error.nginx")
        ours = play("spcd", folder, CASES, ports, first + 40)
        failed += refusals(folder)
        for case in CASES:
            wrong = judge(case, ours[case[0]], theirs.get(case[0]), folder)
            if wrong:
                failed += 1
                print(f"FAILED {case[0]}: {wrong}")
    print(f"{len(CASES) + len(REFUSED) - failed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        print(f"FAILED: {failure}\n0 passed, 1 failed")
        sys.exit(1)
