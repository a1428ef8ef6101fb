"""QUIC: ngtcp2's client and server with GnuTLS. What the client fetches is what the server has, also when it goes on from another port
once it is connected. For spcd that is a client it has never seen, with a session of its own; where there are several servers and the
group hashes on $quic_dcid, it is with the same one, and by turns with another that does not know it."""
import filecmp
import os
import re

from origins import Authority

STREAM = """    upstream servers {{
        {method}
{servers}    }}
    server {{
        listen 127.0.0.1:{front} udp rcvbuf=4m;
        proxy_pass servers;
        proxy_timeout 20s;
    }}"""
LARGE = 8_000_000
SERVERS, CLIENTS = 3, 6
MOVES = ("--change-local-addr=50ms", "--delay-stream=200ms")


def fetch(world, port, *how):
    os.makedirs(world.path("fetched"), exist_ok=True)
    return world.run("gtlsclient", "-q", "--exit-on-all-streams-close", "--download=fetched", *how, "127.0.0.1", str(port),
                     *(f"https://x.example:{port}/{name}" for name in ("small", "large")))


def is_fetched(world):
    same = [filecmp.cmp(world.path("fetched/" + name), world.path("here/" + name), False) for name in ("small", "large")
            if os.path.exists(world.path("fetched/" + name))]
    for name in os.listdir(world.path("fetched")):
        os.unlink(world.path("fetched/" + name))
    return same == [True, True]


def proxy(world, ports, method="", workers=2):
    front = world.port()
    servers = "".join(f"        server 127.0.0.1:{port};\n" for port in ports)
    return front, world.proxy(STREAM.format(front=front, method=method, servers=servers), workers=workers)


def one_server(world, port):
    front, server = proxy(world, [port])
    status, said = fetch(world, front)
    world.check("quic: the client fetches it through spcd", status == 0 and is_fetched(world), said)
    for how, what in ((["--nat-rebinding"], "when its port changes without its knowledge"), ([], "when it changes its port")):
        status, said = fetch(world, front, *MOVES, *how)
        world.check(f"quic: also {what}", status == 0 and is_fetched(world), said)
    counted = world.counted(server)
    world.check("quic: that was five sessions", counted["accepted"] == 5, counted)
    world.check("quic: at least what was fetched passed", counted["upstream_bytes"] >= 3 * LARGE, counted)
    lost = {one: counted[one] for one in ("datagrams_overflow", "answers_overflow", "datagrams_lost") if counted[one]}
    world.check("quic: nothing is counted as lost", not lost, lost)


def several_servers(world, ports):
    """By turns the second session of a client is with another server."""
    front, _ = proxy(world, ports, workers=1)
    fetch(world, front, *MOVES, "--nat-rebinding", "--timeout=1s")
    world.check("quic: of several servers, by turns, another one knows nothing of it", not is_fetched(world))
    front, server = proxy(world, ports, "hash $quic_dcid;")
    for number in range(CLIENTS):
        status, said = fetch(world, front, *MOVES, "--nat-rebinding", "--timeout=1s")
        world.check(f"quic: hash $quic_dcid, client {number} finds its server again", status == 0 and is_fetched(world), said)
    counted = world.counted(server)
    world.check("quic: each had two sessions", counted["accepted"] == 2 * CLIENTS, counted)


def run(world):
    Authority(world.folder).issue("server", "x.example", "subjectAltName=DNS:x.example")
    os.mkdir(world.path("here"))
    for name, size in (("small", 10), ("large", LARGE)):
        with open(world.path("here/" + name), "wb") as file:
            file.write(os.urandom(size))
    ports = [world.port() for _ in range(SERVERS)]
    for port in ports:
        world.start("gtlsserver", "-q", "-d", "here", "127.0.0.1", str(port), "server.key", "server.pem")
        there = world.wait(lambda: fetch(world, port, "--handshake-timeout=1s") and is_fetched(world))
        world.check("quic: the client fetches it without spcd", there)
    one_server(world, ports[0])
    several_servers(world, ports)
