#!/usr/bin/python3
"""Sessions of datagrams at random: how many datagrams and answers make one, who answers, how often, or not at all. The same stories
through nginx and spcd: what each client got, the lines of the access log and of the error log.

    tests/udp/stories.py [--servers N] [--seed S]

Last line: "N passed, N failed"; a test is a server and its story.
"""
import argparse
import asyncio
import difflib
import os
import random
import re
import socket
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, ROOT + "/tests/engine")
sys.dont_write_bytecode = True

from server import Server  # noqa: E402
from talk import Failure  # noqa: E402
from tally import Tally  # noqa: E402
from wire import Ports  # noqa: E402

CLIENTS, STEPS = 3, 14
SO_RCVBUFFORCE = 33  # Python does not name it
# Seconds: all steps are within proxy_timeout, of which nginx takes 300 ms off now and then; well after it; when all is over.
TIMEOUT_MS, SHORT, LONG, END = 1100, 0.04, 1.6, 1.9
ANSWERS = {"silent": 0, "once": 1, "twice": 2, "thrice": 3}  # what the upstream servers answer to each datagram
# Not played, since docs/DIFFERENCES.md says of them: servers that refuse, answers larger than nginx's buffer, more of them than expected.
LOG = """
    log_format line '$remote_addr $protocol $status $bytes_sent $bytes_received "$upstream_addr" "$upstream_bytes_sent" '
                    '"$upstream_bytes_received"';
"""
MASKS = ((re.compile(r"^\S+ \S+ \[(\w+)\] \S+ \*\d+ "), r"\1 "), (re.compile(r"\b(client:? 127\.0\.0\.1:)\d+"), r"\1*"),
         (re.compile(r"(udp proxy 127\.0\.0\.1:)\d+"), r"\1*"))


def server(pick, at, ports):
    lines = [f"listen 127.0.0.1:{ports['front'] + at} udp;", f"proxy_timeout {TIMEOUT_MS}ms;"]
    for odds, line in ((0.5, f"proxy_responses {pick.choice([0, 1, 1, 2])};"), (0.5, f"proxy_requests {pick.choice([1, 2, 3])};"),
                       (0.15, "proxy_protocol on;"), (0.1, "deny 127.0.0.1;"), (0.1, "proxy_next_upstream off;"), (0.1, "limit_conn few{at} 2;".replace("{at}", str(at)))):
        if pick.random() < odds:
            lines.append(line)
    counted = any(line.startswith("proxy_responses") for line in lines)
    where = pick.choice(["silent", "once", "once", "return"] + ([] if counted else ["twice", "thrice", f"group{at}", f"group{at}"]))
    if where == "return":
        lines.append('return "$protocol $bytes_received";')
    else:
        lines.append(f"proxy_pass {f'127.0.0.1:{ports[where]}' if where in ports else where};")
    lines += [f"access_log {{folder}}/access{at}.log line;", f"error_log {{folder}}/error{at}.log info;"]
    method = pick.choice(["", "", "least_conn;"])
    group = f"upstream group{at} {{ {method} server 127.0.0.1:{ports['once']} weight=2; server 127.0.0.1:{ports['twice']} max_conns=2; }}\n"
    zone = f"limit_conn_zone $remote_addr zone=few{at}:64k;\n"
    return group + zone + "server {\n        " + "\n        ".join(lines) + " }"


def story(pick):
    """Steps: which client sends how many bytes, and how long all of them listen then."""
    return [(pick.randrange(CLIENTS), pick.choice([0, 1, 10, 1400, 9000]), LONG if pick.random() < 0.12 else SHORT) for _ in range(STEPS)]


class Answers(asyncio.DatagramProtocol):
    """An upstream server: each datagram comes back so many times."""

    def __init__(self, count):
        self.count, self.transport = count, None

    def connection_made(self, transport):
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)

    def datagram_received(self, data, addr):
        for number in range(self.count):
            self.transport.sendto(bytes([number]) + data, addr)


def heard(sock):
    """What came, shortly: the count of a PROXY header's bytes depends on ports, so they are replaced."""
    got = []
    while True:
        try:
            data = sock.recv(65536)
        except BlockingIOError:
            return got
        except ConnectionRefusedError:
            got.append("refused")
            continue
        data = re.sub(rb"(PROXY \S+ \S+ \S+ )\d+", rb"\1*", data[:200])
        got.append((len(data), data[:60]))


async def play_server(port, steps):
    socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(CLIENTS)]
    for sock in socks:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 20)  # all of it is read at the end
        sock.connect(("127.0.0.1", port))
    await asyncio.sleep(port % 100 / 100)  # not all at once
    for number, (client, size, wait) in enumerate(steps):
        socks[client].send(bytes([65 + number]) * size)
        await asyncio.sleep(wait)
    await asyncio.sleep(END)
    results = [heard(sock) for sock in socks]
    for sock in socks:
        sock.close()
    return results


async def play_all(ports, stories):
    loop, transports = asyncio.get_running_loop(), []
    for name, count in ANSWERS.items():
        transport, _ = await loop.create_datagram_endpoint(lambda one=count: Answers(one), local_addr=("127.0.0.1", ports[name]))
        transports.append(transport)
    results = await asyncio.gather(*(play_server(ports["front"] + at, one) for at, one in enumerate(stories)))
    for transport in transports:
        transport.close()
    return results


def masked(text):
    """Sorted: sessions that are over at the same time have no order. Who is limited is told once a second."""
    lines = text.splitlines()
    for mask, instead in MASKS:
        lines = [mask.sub(instead, line) for line in lines]
    return sorted([line for line in lines if "limiting" not in line] + list({line for line in lines if "limiting" in line}))


def outcomes(kind, servers, stories, ports):
    """Of each server, lines that tell all."""
    build = os.path.join(ROOT, os.environ.get("SPCD_BUILD", "build"))
    with tempfile.TemporaryDirectory(prefix="spc-") as folder:
        os.chmod(folder, 0o755)
        running = Server(kind, folder, {name: f"{build}/{name}" for name in ("spcc", "spcd")})
        stream = LOG
        for name, port in ports.items():
            stream = stream.replace("{" + name + "}", str(port))
        stream += "\n".join(servers).replace("{folder}", folder)
        if not running.place(running.whole_config("", stream, {"workers": "1", "connections": "1024", "level": "crit"})):
            raise Failure(f"{kind} refuses it:\n{running.complaint}")
        try:
            running.start()
            results = asyncio.run(play_all(ports, stories))
            running.end()
        finally:
            running.kill()
        return [[f"client {number}: {line}" for number, heard_ in enumerate(one) for line in heard_] + masked(running.read(f"access{at}.log")) +
                masked(running.read(f"error{at}.log")) for at, one in enumerate(results)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    pick = random.Random(chosen.seed)
    names = [*ANSWERS, "front"]
    first = Ports().take(len(names) + chosen.servers)
    ports = {name: first + at for at, name in enumerate(names)}
    servers = [server(pick, at, ports) for at in range(chosen.servers)]
    stories = [story(pick) for _ in servers]
    theirs, ours = (outcomes(kind, servers, stories, ports) for kind in ("nginx", "spcd"))
    tally = Tally()
    for at, text in enumerate(servers):
        if theirs[at] != ours[at]:
            print("\n".join([text, str(stories[at]), *difflib.unified_diff(theirs[at], ours[at], "nginx", "spcd", lineterm="", n=1)]))
        tally.check(theirs[at] == ours[at], f"server {at}")
    return tally.end()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        print(f"FAILED: {failure}\n0 passed, 1 failed")
        sys.exit(1)
