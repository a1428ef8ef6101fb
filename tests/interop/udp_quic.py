"""QUIC: ngtcp2's client and server with GnuTLS. What the client fetches is what the server has, also when the client goes on from
another port once it is connected. For spcd that is a client it has never seen, with a session of its own; it is the server that knows
the connection by its id, so that a group of several would have to go by the client's address."""
import filecmp
import os
import re

from origins import Authority

STREAM = """    server {{
        listen 127.0.0.1:{front} udp rcvbuf=4m;
        proxy_pass 127.0.0.1:{port};
        proxy_timeout 20s;
    }}"""
LARGE = 8_000_000


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


def run(world):
    Authority(world.folder).issue("server", "x.example", "subjectAltName=DNS:x.example")
    os.mkdir(world.path("here"))
    for name, size in (("small", 10), ("large", LARGE)):
        with open(world.path("here/" + name), "wb") as file:
            file.write(os.urandom(size))
    front, port = world.port(), world.port()
    world.start("gtlsserver", "-q", "-d", "here", "127.0.0.1", str(port), "server.key", "server.pem")
    server = world.proxy(STREAM.format(front=front, port=port))
    world.wait(lambda: fetch(world, port, "--handshake-timeout=1s")[0] == 0)
    world.check("quic: the client fetches it without spcd", is_fetched(world))
    status, said = fetch(world, front)
    world.check("quic: the client fetches it through spcd", status == 0 and is_fetched(world), said)
    for how, what in (("--nat-rebinding", "when its port changes without its knowledge"), ("--cc=cubic", "when it changes its port")):
        status, said = fetch(world, front, "--change-local-addr=50ms", "--delay-stream=200ms", how)
        world.check(f"quic: also {what}", status == 0 and is_fetched(world), said)
    counted = world.counted(server)
    world.check("quic: that was five sessions", counted["accepted"] == 5, counted)
    world.check("quic: at least what was fetched passed", counted["upstream_bytes"] >= 3 * LARGE, counted)
    world.check("quic: nothing was lost", not any(counted[name] for name in ("datagrams_overflow", "answers_overflow", "datagrams_lost")), counted)
