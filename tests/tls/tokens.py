#!/usr/bin/python3
"""Keys in tokens, those of SoftHSM. Last line: "N passed, N failed"."""
import glob
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [ROOT + "/tests/engine", HERE]
sys.dont_write_bytecode = True

from origins import Authority, Origin, context, run, speaks  # noqa: E402
from server import Server  # noqa: E402
from talk import Failure  # noqa: E402
from tally import Tally  # noqa: E402
from wire import Ports  # noqa: E402

KINDS = {"rsa": "rsa:2048", "p256": "prime256v1", "p384": "secp384r1", "p521": "secp521r1", "ed25519": "ed25519"}
SOFTHSM = glob.glob("/usr/lib/*/softhsm/libsofthsm2.so")[0]
SLOW_MS = 1500


def make_token(folder, ca):
    """A token "edge" with a key of each kind; their certificates are files."""
    os.mkdir(folder + "/tokens")
    with open(folder + "/softhsm.conf", "w", encoding="ascii") as file:
        file.write(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\n")
    with open(folder + "/pin", "w", encoding="ascii") as file:
        file.write("1234\n")
    with open(folder + "/wrong", "w", encoding="ascii") as file:
        file.write("4321\n")
    os.environ["SOFTHSM2_CONF"] = folder + "/softhsm.conf"
    run("softhsm2-util", "--init-token", "--free", "--label", "edge", "--pin", "1234", "--so-pin", "1234", cwd=folder)
    for at, (name, kind) in enumerate(KINDS.items()):
        ca.issue(name, name, "extendedKeyUsage=clientAuth\n", kind)
        run("openssl", "pkcs8", "-topk8", "-nocrypt", "-in", name + ".key", "-out", name + ".p8", cwd=folder)
        run("softhsm2-util", "--import", name + ".p8", "--token", "edge", "--label", name, "--id", f"a{at}", "--pin", "1234",
            cwd=folder)


def make_slow(folder):
    run("gcc", "-shared", "-fPIC", "-I/usr/include/p11-kit-1", "-o", folder + "/slow.so", HERE + "/slow_token.c", cwd=folder)
    os.environ |= {"SLOW_TOKEN_OF": SOFTHSM, "SLOW_TOKEN_MS": str(SLOW_MS), "SLOW_TOKEN_PULLED": folder + "/pulled"}


def key(name, folder, more="", certificate=None):
    return (f'proxy_ssl_certificate {certificate or name}.pem; proxy_ssl_certificate_key '
            f'"store:pkcs11:token=edge;object={name}?pin-source={folder}/pin{more}";')


def serve(server, first, servers, connections="64"):
    stream = ("proxy_ssl on; proxy_ssl_session_reuse off;\n" +
              "\n".join(f"server {{ listen 127.0.0.1:{first + at}; {text} }}" for at, text in enumerate(servers)))
    settings = {"workers": "1", "connections": connections, "level": "info"}
    if not server.place(server.whole_config("", stream, settings)):
        raise Failure(f"spcc refuses it:\n{server.complaint}")
    server.start()


def ask(port):
    """What the upstream server saw; None: the session was ended."""
    with socket.create_connection(("127.0.0.1", port), timeout=8) as client:
        try:
            client.sendall(b"who\n")
            line = client.makefile("rb").readline()
        except OSError:
            line = b""
    return json.loads(line) if line else None


def every_kind(server, first, tls13, tls12):
    """With each key, in both versions of TLS, and the same by the key's number."""
    folder = server.folder
    wishes = [(name, port) for name in KINDS for port in (tls13, tls12)]
    servers = [f"proxy_pass 127.0.0.1:{port}; {key(name, folder)}" for name, port in wishes]
    servers.append(f"proxy_pass 127.0.0.1:{tls13}; proxy_ssl_password_file pin; proxy_ssl_certificate p256.pem; "
                   'proxy_ssl_certificate_key "store:pkcs11:token=edge;id=%a1;type=private";')
    wishes.append(("p256", tls13))
    serve(server, first, servers)
    for at, (name, port) in enumerate(wishes):
        seen = ask(first + at)
        yield seen and seen["client"] == [name], f"{name} with {'TLS 1.3' if port == tls13 else 'TLS 1.2'}: {seen}"
    server.end()


def slow(server, first, tls13):
    """While a signature is made others are served; who leaves meanwhile disturbs nobody."""
    folder = server.folder
    module = f"&module-path={folder}/slow.so"
    serve(server, first, [f"proxy_pass 127.0.0.1:{tls13}; {key('rsa', folder, module)}",
                          f"proxy_pass 127.0.0.1:{tls13};",
                          f"proxy_pass 127.0.0.1:{tls13}; proxy_connect_timeout 300ms; {key('rsa', folder, module)}"])
    order, threads = [], []
    for name, port in (("slow", first), ("too slow", first + 2)):
        threads.append(threading.Thread(target=lambda n=name, p=port: order.append((n, ask(p)))))
        threads[-1].start()
    time.sleep(0.2)
    order.append(("others", ask(first + 1)))
    gone = socket.create_connection(("127.0.0.1", first), timeout=8)
    time.sleep(0.2)
    gone.close()
    for thread in threads:
        thread.join()
    seen = dict(order)
    yield [name for name, _ in order] == ["others", "too slow", "slow"], f"nobody waits for others: {order}"
    yield seen["slow"] and seen["slow"]["client"] == ["rsa"], "it is slow, and works"
    yield seen["too slow"] is None and "upstream timed out" in server.read("error.log"), "it may be too slow"
    again = ask(first)
    yield again and again["client"] == ["rsa"], "and works again"
    server.end()


def pulled(server, first, tls13):
    """A token that is pulled out ends who needs it, and nobody else; put in again, it works again."""
    folder = server.folder
    serve(server, first, [f"proxy_pass 127.0.0.1:{tls13}; {key('rsa', folder, f'&module-path={folder}/slow.so')}",
                          f"proxy_pass 127.0.0.1:{tls13};"])
    before = ask(first)
    open(folder + "/pulled", "w", encoding="ascii").close()
    without, others = [ask(first), ask(first)], ask(first + 1)
    said = server.read("error.log")
    os.unlink(folder + "/pulled")
    again = ask(first)
    yield before and without == [None, None] and others, f"only who needs the token ends: {before} {without} {others}"
    yield said.count("the key in the token cannot be used: there is no such token") == 2, said
    yield again and again["client"] == ["rsa"], f"the token is back: {again}"
    server.end()


def crowded(server, first, tls13):
    """A reload while there is no room for another signature starts no second thread that asks the token."""
    folder = server.folder
    serve(server, first, [f"proxy_pass 127.0.0.1:{tls13}; {key('rsa', folder, f'&module-path={folder}/slow.so')}"], "512")
    waiting = [socket.create_connection(("127.0.0.1", first), timeout=8) for _ in range(270)]
    yield server.wait(lambda: "too many signatures are waited for" in server.read("error.log")), "there is no room"
    child = server.read(f"/proc/{server.process.pid}/task/{server.process.pid}/children").split()[0]
    before = len(os.listdir(f"/proc/{child}/task"))
    server.signal("HUP")
    yield server.wait(lambda: "new sessions take the new configuration" in server.read("error.log"), 20), "a reload"
    yield len(os.listdir(f"/proc/{child}/task")) == before, "there are as many threads as before"
    for client in waiting:
        client.close()
    server.signal("TERM")
    yield server.wait(lambda: server.process.poll() == 0), "it ends"


def refused(folder, spcd, spcc):
    """What spcd says wrong before it serves."""
    cases = [
        (key("nobody", folder, certificate="rsa"), "no private key in the token is what the URI names"),
        (key("p384", folder, certificate="p256"), "the certificate is not that of the key in the token"),
        (key("rsa", folder).replace("token=edge", "token=other"), "there is no such token"),
        (key("rsa", folder).replace("/pin", "/wrong"), r"C_Login\(\) failed"),
        (key("rsa", folder).replace(f"?pin-source={folder}/pin", ""), "the token wants a PIN"),
        (key("rsa", folder).replace("object=rsa", "type=private"), "more than one private key"),
        (key("rsa", folder, "&module-path=/nowhere.so"), "the module /nowhere.so cannot be loaded"),
        (key("rsa", folder).replace("/pin", "/lost"), r"open\(\) .*/lost of pin-source, refused.conf:1, failed"),
    ]
    for directives, says in cases:
        with open(folder + "/refused.conf", "w", encoding="ascii") as file:
            file.write(f"stream {{ server {{ listen 127.0.0.1:19999; proxy_pass 127.0.0.1:1; proxy_ssl on; {directives} }} }}\n")
        run(spcc, "-o", folder + "/refused.spcb", folder + "/refused.conf", cwd=folder)
        done = subprocess.run([spcd, "-t", "-p", folder, folder + "/refused.spcb"], capture_output=True, text=True, check=False)
        yield done.returncode == 1 and re.search(says, done.stderr), f"{says}: {done.returncode} {done.stderr}"


def play(folder):
    build = os.path.join(ROOT, os.environ.get("SPCD_BUILD", "build"))
    tools = {name: f"{build}/{name}" for name in ("spcc", "spcd")}
    held = Ports()
    first = held.take(30)
    ca = Authority(folder)
    ca.issue("good", "x.example", "subjectAltName=DNS:x.example\n")
    make_token(folder, ca)
    make_slow(folder)
    tls13 = Origin(first, speaks(context(ca, "good", clients="CERT_OPTIONAL"))).port
    tls12 = Origin(first + 1, speaks(context(ca, "good", clients="CERT_OPTIONAL", newest="TLSv1_2"))).port
    yield from every_kind(Server("spcd", folder, tools), first + 2, tls13, tls12)
    yield from slow(Server("spcd", folder, tools), first + 20, tls13)
    yield from pulled(Server("spcd", folder, tools), first + 23, tls13)
    os.unlink(folder + "/error.log")
    yield from crowded(Server("spcd", folder, tools), first + 26, tls13)
    yield from refused(folder, tools["spcd"], tools["spcc"])


def main():
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="spc-") as folder:
        os.chmod(folder, 0o755)
        for good, what in play(folder):
            tally.check(good, what)
    return tally.end()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        print(f"FAILED: {failure}\n0 passed, 1 failed")
        sys.exit(1)
