"""Sessions that are resumed: in which connections, as nginx's stream proxy does it and where spcd does it otherwise, by what the server
says of each ($ssl_session_reused) and by the tickets that are seen on the wire."""
import getpass
import os
import socket
import threading

from origins import Authority
from run import exchange

REQUEST = b"GET / HTTP/1.0\r\n\r\n"
VERIFY = "proxy_ssl_verify on; proxy_ssl_trusted_certificate ca.pem; "
NAME_X = "proxy_ssl_name x.example; proxy_ssl_server_name on; "
NAME_Y = NAME_X.replace("x.example", "y.example")
PRE_SHARED_KEY, SESSION_TICKET = 41, 35  # extensions of a ClientHello


class Watcher:
    """A port before another; it keeps what each client says first."""

    def __init__(self, port, behind):
        self.behind, self.hellos = behind, []
        self.listener = socket.create_server(("127.0.0.1", port), backlog=64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client = self.listener.accept()[0]
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        hello = client.recv(65536)
        self.hellos.append(hello)
        with client, socket.create_connection(("127.0.0.1", self.behind)) as server:
            server.sendall(hello)
            back = threading.Thread(target=self.copy, args=(server, client), daemon=True)
            back.start()
            self.copy(client, server)
            back.join()

    @staticmethod
    def copy(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def tickets(self, kind):
        return [ticket(hello, kind) for hello in self.hellos]


def ticket(hello, kind):
    """The first identity of the pre-shared keys, or the session ticket, of a ClientHello; None: it has none."""
    at = 5 + 4 + 2 + 32  # record, message, version, random
    at += 1 + hello[at]
    at += 2 + int.from_bytes(hello[at:at + 2], "big")
    at += 1 + hello[at] + 2
    while at < len(hello):
        found, size = (int.from_bytes(hello[at + part:at + part + 2], "big") for part in (0, 2))
        body = hello[at + 4:at + 4 + size]
        if found == kind:
            if kind == PRE_SHARED_KEY:
                return body[4:4 + int.from_bytes(body[2:4], "big")]
            return body or None
        at += 4 + size
    return None


def backend(world):
    """nginx: port a, and port b with the same keys for tickets, so that it would take a's."""
    ports = [world.port(), world.port(), world.port()]
    with open(world.path("tickets"), "wb") as file:
        file.write(os.urandom(48))
    world.write("backend.conf", f"daemon off; user {getpass.getuser()}; pid backend.pid; error_log backend.log; events {{}} http {{ "
                "access_log off; ssl_session_ticket_key tickets; ssl_session_cache off; " + "".join(
                    f"server {{ listen 127.0.0.1:{port} ssl; ssl_certificate server.pem; ssl_certificate_key server.key; "
                    f"ssl_protocols TLSv1.2 TLSv1.3; {more} "
                    'location / { return 200 "$ssl_protocol $ssl_session_reused $ssl_client_verify $ssl_server_name"; } }'
                    for port, more in zip(ports, ("", "", "ssl_client_certificate ca.pem; ssl_verify_client on;"))) + "}")
    world.start("nginx", "-p", world.folder, "-e", "backend.log", "-c", world.path("backend.conf"), ready=ports)
    return ports


def reused(port, times):
    """For each connection "r", if it resumed another, or "."; "-" if it came to nothing."""
    seen = ""
    for _ in range(times):
        words = exchange(port, REQUEST).rpartition("\r\n\r\n")[2].split(" ")
        seen += words[1] if len(words) == 4 else "-"
    return seen


def as_nginx(world, port_a):
    """The same connections through nginx and spcd."""
    cases = {
        "TLS 1.2": ("proxy_ssl_protocols TLSv1.2;" + VERIFY + NAME_X, ".rrr"),
        "TLS 1.3": ("proxy_ssl_protocols TLSv1.3;" + VERIFY + NAME_X, ".rrr"),
        "TLS 1.2, not verified": ("proxy_ssl_protocols TLSv1.2;", ".rrr"),
        "TLS 1.3, not verified": ("proxy_ssl_protocols TLSv1.3;", ".rrr"),
        "TLS 1.2, not to be resumed": ("proxy_ssl_protocols TLSv1.2; proxy_ssl_session_reuse off;" + VERIFY + NAME_X, "...."),
        "TLS 1.3, not to be resumed": ("proxy_ssl_protocols TLSv1.3; proxy_ssl_session_reuse off;" + VERIFY + NAME_X, "...."),
        "of another authority": ("proxy_ssl_protocols TLSv1.3;" + VERIFY.replace("ca.pem", "other.pem") + NAME_X, "----"),
    }
    for kind in ("spcd", "nginx"):
        first = world.port(len(cases))
        world.proxy("\n".join(
            f"upstream u{at} {{ server 127.0.0.1:{port_a} max_fails=0; }}\n"
            f"server {{ listen 127.0.0.1:{first + at}; proxy_pass u{at}; proxy_ssl on; {directives} }}"
            for at, (directives, _) in enumerate(cases.values())), kind)
        for at, (name, (_, wanted)) in enumerate(cases.items()):
            got = reused(first + at, 4)
            world.check(f"{kind}: {name}", got == wanted, f"wanted {wanted}, got {got}")


def never_across(world, ports):
    """What one server{} has learned is not used by another that speaks to a different peer, name, or configuration."""
    port_a, port_b, strict = ports
    plain = "proxy_ssl_protocols TLSv1.2 TLSv1.3; "
    shown = "proxy_ssl_certificate client.pem; proxy_ssl_certificate_key client.key; "
    cases = [  # whose turn it is, to whom, with which directives, what is to be seen
        ("a first connection", port_a, plain + NAME_X, ".r"),
        ("another name", port_a, plain + NAME_Y, ".r"),
        ("another peer with the same keys", port_b, plain + NAME_X, ".r"),
        ("verified, where the ticket is of one that was not", port_a, plain + VERIFY + NAME_X, ".r"),
        ("of another authority", port_a, plain + VERIFY.replace("ca.pem", "other.pem") + NAME_X, "--"),
        ("a certificate is shown", strict, plain + shown + NAME_X, ".r"),
        ("no certificate, where the ticket is of one that showed its", strict, plain + NAME_X, "--"),
        ("the first name is still known", port_a, plain + NAME_X, "rr"),
    ]
    first = world.port(len(cases))
    world.proxy("\n".join(f"server {{ listen 127.0.0.1:{first + at}; proxy_pass 127.0.0.1:{port}; proxy_ssl on; {directives} }}"
                          for at, (_, port, directives, _) in enumerate(cases)))
    for at, (name, _, _, wanted) in enumerate(cases):
        got = reused(first + at, 2)
        world.check("apart: " + name, got == wanted, f"wanted {wanted}, got {got}")


def single_use(world, port_a):
    """A ticket of TLS 1.3 is shown once, whatever happens at once; one of TLS 1.2 as long as it serves."""
    watched = [world.port(), world.port()]
    watchers = [Watcher(port, port_a) for port in watched]
    fronts = world.port(2)
    world.proxy("\n".join(f"server {{ listen 127.0.0.1:{fronts + at}; proxy_pass 127.0.0.1:{watched[at]}; proxy_ssl on; "
                          f"proxy_ssl_protocols {version}; {VERIFY}{NAME_X} }}"
                          for at, version in enumerate(("TLSv1.3", "TLSv1.2"))))
    for front in (fronts, fronts + 1):
        reused(front, 6)
        threads = [threading.Thread(target=reused, args=(front, 3)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    new = [one for one in watchers[0].tickets(PRE_SHARED_KEY) if one]
    world.check("TLS 1.3: every ticket once", len(new) >= 10 and len(set(new)) == len(new), f"{len(new)} shown, {len(set(new))} different")
    old = [one for one in watchers[1].tickets(SESSION_TICKET) if one]
    world.check("TLS 1.2: one ticket serves many", len(old) >= 20 and len(set(old)) < len(old), f"{len(old)} shown, {len(set(old))} different")


def run(world):
    ca = Authority(world.folder)
    Authority(world.folder, "other")
    ca.issue("server", "x.example", "subjectAltName=DNS:x.example,DNS:y.example\nextendedKeyUsage=serverAuth\n")
    ca.issue("client", "client", "extendedKeyUsage=clientAuth\n")
    ports = backend(world)
    as_nginx(world, ports[0])
    never_across(world, ports)
    single_use(world, ports[0])
