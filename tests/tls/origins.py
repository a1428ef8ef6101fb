"""Upstream servers that speak TLS, well or badly, for run.py: each in a thread of its own on a port of its own.

A good one answers a line "who" with what it saw of the client, as JSON, any other line backwards, and a line "bye"
by ending the connection.
"""
import json
import os
import socket
import ssl
import subprocess
import threading
import time

PATIENCE = 8


def run(*words, cwd):
    subprocess.run(words, cwd=cwd, check=True, capture_output=True)


class Authority:
    """Certificates made for one run, by openssl."""

    def __init__(self, folder, name="ca"):
        self.folder, self.name = folder, name
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.pem",
            "-subj", f"/CN={name}", "-days", "30", "-addext", "keyUsage=keyCertSign,cRLSign", cwd=folder)

    def issue(self, name, subject, extensions, key="rsa:2048"):
        newkey = ["-newkey", key] if key.startswith("rsa") or key == "ed25519" else [
            "-newkey", "ec", "-pkeyopt", f"ec_paramgen_curve:{key}"]
        run("openssl", "req", *newkey, "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj",
            f"/CN={subject}", cwd=self.folder)
        with open(f"{self.folder}/{name}.ext", "w", encoding="ascii") as file:
            file.write(extensions)
        run("openssl", "x509", "-req", "-in", f"{name}.csr", "-CA", f"{self.name}.pem", "-CAkey", f"{self.name}.key",
            "-out", f"{name}.pem", "-days", "20", "-extfile", f"{name}.ext", cwd=self.folder)

    def path(self, file):
        return os.path.join(self.folder, file)


class Origin:
    """behaves: a function of an accepted socket."""

    def __init__(self, port, behaves):
        self.port, self.behaves = port, behaves
        self.listener = socket.create_server(("127.0.0.1", port), backlog=64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            client.settimeout(PATIENCE)
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        try:
            self.behaves(client)
        except (OSError, ValueError):
            pass
        finally:
            client.close()


def context(authority, certificate, **wishes):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(authority.path(certificate + ".pem"), authority.path(certificate + ".key"))
    made.set_alpn_protocols(["h9", "two"])
    if "newest" in wishes:
        made.maximum_version = getattr(ssl.TLSVersion, wishes["newest"])
    if "ciphers" in wishes:
        made.set_ciphers(wishes["ciphers"])
    if wishes.get("clients"):
        made.load_verify_locations(authority.path("ca.pem"))
        made.verify_mode = getattr(ssl, wishes["clients"])
    return made


def talk(client, saw):
    reader = client.makefile("rb")
    while line := reader.readline():
        word = line.strip()
        if word == b"bye":
            break
        client.sendall((json.dumps(saw, sort_keys=True).encode() if word == b"who" else word[::-1]) + b"\n")


def speaks(made, preamble=False):
    """Serve TLS with this context; preamble: after a PROXY header in clear."""
    def behave(client):
        names, head = [], b""
        if preamble:
            while not head.endswith(b"\r\n"):
                head += client.recv(1)
        made.sni_callback = lambda sock, name, _: names.append(name)
        with made.wrap_socket(client, server_side=True) as secure:
            shown = secure.getpeercert() or {}
            saw = {
                "sni": names[-1] if names else None, "alpn": secure.selected_alpn_protocol(),
                "version": secure.version(), "cipher": secure.cipher()[0], "resumed": secure.session_reused,
                "client": [value for part in shown.get("subject", ()) for key, value in part],
                "preamble": head.decode().split(" ")[:2],
            }
            talk(secure, saw)
            try:
                secure.unwrap()
            except OSError:
                pass
    return behave


def slams(client):
    """Ends the connection when the ClientHello is there."""
    client.recv(5000)


def slams_at_once(client):
    del client


def resets(client):
    client.recv(5000)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def stalls(client):
    time.sleep(2)
    del client


def speaks_http(client):
    client.recv(5000)
    client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    time.sleep(0.2)


def pass_on(source, target, size=4096):
    """All that comes, in pieces of so many bytes."""
    try:
        while data := source.recv(size):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def speaks_slowly(made, step):
    """TLS whose records arrive in pieces of so many bytes."""
    def behave(client):
        inner, outer = socket.socketpair()
        threading.Thread(target=Origin.serve, args=(None_origin(speaks(made)), inner), daemon=True).start()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=pass_on, args=(client, outer), daemon=True).start()
        pass_on(outer, client, step)
    return behave


def sends_at_once(made, *parts, greets=False):
    """After a line, or with the end of the handshake, parts, each a record, in one piece; None is the end. Then it waits for the other
    end."""
    def behave(client):
        inner, outer = ssl.MemoryBIO(), ssl.MemoryBIO()
        secure = made.wrap_bio(inner, outer, server_side=True)

        def until_done(act):
            while True:
                try:
                    return act()
                except ssl.SSLWantReadError:
                    client.sendall(outer.read())
                    inner.write(client.recv(16384))

        until_done(secure.do_handshake)
        if not greets:
            until_done(lambda: secure.read(1000))
        for part in parts:
            try:
                secure.unwrap() if part is None else secure.write(part)
            except ssl.SSLWantReadError:
                pass
        client.sendall(outer.read())
        while client.recv(16384):
            pass
    return behave


def reverses(authority, *options):
    """Of OpenSSL's own, for what Python cannot choose: each line comes back reversed. Its process ends with the session."""
    def behave(client):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        words = ["openssl", "s_server", "-rev", "-naccept", "1", "-accept", f"127.0.0.1:{port}", "-cert", "good.pem", "-key", "good.key",
                 "-CAfile", "ca.pem", *options]
        with subprocess.Popen(words, cwd=authority.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL) as server:
            try:
                while not server.stdout.readline().startswith(b"ACCEPT"):
                    pass
                with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as inner:
                    threading.Thread(target=pass_on, args=(client, inner), daemon=True).start()
                    pass_on(inner, client)
            finally:
                server.kill()
    return behave


class None_origin:
    def __init__(self, behaves):
        self.behaves = behaves

    serve = Origin.serve
