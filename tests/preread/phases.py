#!/usr/bin/python3
"""What stands between an accepted connection and its content, put together at random: PROXY headers, addresses behind them, rules,
limits, prereads, what is passed on or returned. The same servers and the same clients in nginx and in spcd.

    tests/preread/phases.py [--servers N] [--seed S]

Compared are what each client got, the line of the access log, and the lines of the error log. Last line: "N passed,
N failed"; a test is a client.
"""
import argparse
import asyncio
import difflib
import os
import random
import re
import socket
import struct
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [ROOT + "/tests/engine", HERE]
sys.dont_write_bytecode = True

from packets import Packets  # noqa: E402
from server import Server  # noqa: E402
from talk import Failure  # noqa: E402
from tally import Tally  # noqa: E402
from wire import Ports  # noqa: E402

# What docs/DIFFERENCES.md says of it is left out: PROXY headers of two families, a header too short for its addresses, the name in a key.
CLIENTS, PATIENCE, REST, SEGMENT = 8, 10, 0.08, 0.012
HTTP = """
    log_format line '$remote_addr $server_addr $protocol $status $bytes_sent $upstream_bytes_sent $upstream_bytes_received '
                    '"$proxy_protocol_addr" "$proxy_protocol_port" "$proxy_protocol_server_addr" "$proxy_protocol_server_port" '
                    '"$realip_remote_addr" "$ssl_preread_server_name" "$ssl_preread_alpn_protocols" "$ssl_preread_protocol" '
                    '"$upstream_addr" "$limit_conn_status" "$who"';
    map $remote_addr $who {{ default nobody; 10.1.2.3 known; ~^192 far; 2001:db8::7 six; }}
    map $ssl_preread_server_name $target {{ default 127.0.0.1:{echo}; "" 127.0.0.1:{echo}; "~.{{30}}" 127.0.0.1:{dead}; }}
    map $proxy_protocol_addr $by_header {{ default 127.0.0.1:{echo}; 192.0.2.9 ""; }}
"""
NETWORKS = ("127.0.0.0/8", "127.0.0.1", "10.0.0.0/8", "10.1.2.3", "192.0.2.0/24", "2001:db8::/32", "unix:", "0.0.0.0/0", "::/0")
ZONES = {"few": "$remote_addr", "many": "$binary_remote_addr$server_port"}
V2 = b"\r\n\r\n\0\r\nQUIT\n"
BROKEN = re.compile(r'broken header: .*?(?= while reading PROXY)', re.DOTALL)  # what it was, in our words
OWN_PORT = re.compile(rb"^(PROXY TCP4 127\.0\.0\.\d 127\.0\.0\.1 )\d{5}")
MASKS = ((re.compile(r"^\S+ \S+ \[(\w+)\] \S+ \*\d+ "), r"\1 "), (re.compile(r"(127\.0\.0\.\d:)\d{5}\b"), r"\1*"),
         (re.compile(r"\bclient: ([^ ,]*):\d+"), r"client: \1"),
         (re.compile(r"(connect\(\) failed.* while).*"), r"\1 the client may have been read already, or not"))


# ---- servers ----

def rules(pick):
    lines = []
    for _ in range(pick.choice([0, 0, 1, 2, 4])):
        lines.append(f"{pick.choice(['allow', 'deny'])} {pick.choice(NETWORKS[:5] + ('2001:db8::/32', '::1', 'unix:', 'all'))};")
    return lines


def content(pick, ports):
    one = pick.choice(["return", "return", "echo", "echo", "echo", "$target", "$target", "$by_header", "dead"])
    if one == "return":
        return ['return "$remote_addr $proxy_protocol_addr:$proxy_protocol_port $realip_remote_addr $ssl_preread_server_name $who";']
    where = f"127.0.0.1:{ports[one]}" if one in ports else one
    more = pick.choice([[], [], [], ["proxy_protocol on;"]])
    return [f"proxy_pass {where};", "proxy_timeout 400ms;", *more]


def server(pick, at, ports):
    introduced = pick.random() < 0.6
    lines = [f"listen 127.0.0.1:{ports['front'] + at}{' proxy_protocol' if introduced else ''};", "proxy_protocol_timeout 250ms;"]
    lines += [f"set_real_ip_from {network};" for network in pick.sample(NETWORKS, pick.choice([0, 0, 1, 2]))]
    lines += rules(pick)
    if pick.random() < 0.5:
        lines += ["ssl_preread on;", f"preread_buffer_size {pick.choice([32, 300, 1024, 16384])};", "preread_timeout 250ms;"]
    if pick.random() < 0.3:
        lines += [f"limit_conn {zone}{at} 1;" for zone in pick.sample(list(ZONES), pick.choice([1, 2]))]
        lines += pick.choice([[], ["limit_conn_dry_run on;"]])
    lines += [f"access_log {{folder}}/access{at}.log line;", f"error_log {{folder}}/error{at}.log info;"]
    zones = "".join(f"limit_conn_zone {key} zone={zone}{at}:64k;\n" for zone, key in ZONES.items() if f" {zone}{at} " in str(lines))
    return introduced, zones + "server { " + "\n        ".join(lines + content(pick, ports)) + " }"


# ---- clients ----

def header_v2(pick, both):
    command = pick.choice([0x21, 0x21, 0x21, 0x20, 0x31, 0x22])
    family = pick.choice([0x11, 0x11, 0x21 if both else 0x11, 0x00, 0x12, 0x51])
    address = {1: bytes([10, 1, 2, 3, 127, 0, 0, 1]), 2: bytes(range(32))}.get(family >> 4, b"")
    body = address + (struct.pack("!HH", pick.randrange(65536), 443) if address else b"")
    for _ in range(pick.choice([0, 0, 1, 3])):
        body += struct.pack("!BH", pick.choice([1, 2, 3, 5, 0x20, 0xea]), 4) + b"tlv!"
    return V2 + struct.pack("!BBH", command, family, len(body)) + body


def header_v1(pick, both):
    source, target = pick.choice([("10.1.2.3", "127.0.0.1"), ("192.0.2.9", "192.0.2.1"), ("127.0.0.1", "10.0.0.1")])
    good = f"PROXY TCP4 {source} {target} {pick.randrange(65536)} {pick.randrange(65536)}\r\n"
    odd = ["PROXY TCP6 2001:db8::7 ::1 1 2\r\n" if both else "PROXY TCP6\r\n", "PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff::1 ff::2 1 2\r\n", "PROXY TCP4 1.2.3 4.5.6.7 1 2\r\n",
           "PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", "PROXY TCP4 1.2.3.4 5.6.7.8 99999 2\r\n", "PROXY TCP4 01.2.3.4 5.6.7.8 1 2\r\n", "PROXY\r\n",
           "PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n", "PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n", "PROXY TCP4 " + "1" * 120,
           "PROXY TCP4 ::1 ::1 1 2\r\n" if both else "PROXY TCP4\r\n", "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", "PROX", "proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n"]
    return (good if pick.random() < 0.7 else pick.choice(odd)).encode()


def client(pick, packets, introduced, text):
    """What it sends, in which pieces, how it ends, from where."""
    header = pick.choice([header_v1, header_v2])(pick, "proxy_protocol on" not in text) if pick.random() < (0.85 if introduced else 0.1) else b""
    payload = pick.choice([packets.packet, packets.packet, lambda: b"hello, world\n", lambda: b""])()
    data = header + payload
    cuts = sorted(pick.randrange(len(data) + 1) for _ in range(pick.choice([0, 0, 1, 2]))) if data else []
    if header and payload and pick.random() < 0.5:
        cuts = [len(header)]
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)]) if a < b]
    return pieces, pick.choice(["reads", "shuts", "closes"]), pick.choice(["127.0.0.1", "127.0.0.1", "127.0.0.2"])


async def play(port, pieces, end, source):
    """What came back."""
    loop, got = asyncio.get_running_loop(), bytearray()
    with socket.socket() as sock:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.bind((source, 0))
        try:
            await loop.sock_connect(sock, ("127.0.0.1", port))
            for piece in pieces:
                await loop.sock_sendall(sock, piece)
                await asyncio.sleep(SEGMENT)
            if end != "reads":
                await asyncio.sleep(REST)
            if end == "shuts":
                sock.shutdown(socket.SHUT_WR)
            while end != "closes" and (block := await asyncio.wait_for(loop.sock_recv(sock, 65536), PATIENCE)):
                got += block
        except TimeoutError:
            return "never"
        except OSError:  # a reset or an end, by who was sooner
            pass
    return OWN_PORT.sub(rb"\1*", bytes(got))


async def give_back(reader, writer):
    try:
        while block := await reader.read(65536):
            writer.write(block)
            await writer.drain()
    except OSError:
        pass
    writer.close()


# ---- both ----

def lines_of(server_, name):
    return server_.read(name).splitlines()


async def play_server(running, at, port, clients, results):
    for one in clients:
        before = len(lines_of(running, f"access{at}.log"))
        got = await play(port, *one)
        for _ in range(PATIENCE * 100):  # the session may last until a time-out
            if len(lines_of(running, f"access{at}.log")) > before:
                break
            await asyncio.sleep(0.01)
        results[at].append([got, lines_of(running, f"access{at}.log")[before:]])


def masked(line):
    for mask, instead in MASKS:
        line = mask.sub(instead, line)
    return line


async def play_all(running, ports, clients):
    echo = await asyncio.start_server(give_back, "127.0.0.1", ports["echo"], backlog=512)
    results = [[] for _ in clients]
    await asyncio.gather(*(play_server(running, at, ports["front"] + at, one, results) for at, one in enumerate(clients)))
    echo.close()
    return results


def outcomes(kind, servers, clients, ports):
    build = os.path.join(ROOT, os.environ.get("SPCD_BUILD", "build"))
    with tempfile.TemporaryDirectory(prefix="spc-") as folder:
        os.chmod(folder, 0o755)
        running = Server(kind, folder, {name: f"{build}/{name}" for name in ("spcc", "spcd")})
        stream = HTTP.format(**ports) + "\n".join(one.replace("{folder}", folder) for one in servers)
        if not running.place(running.whole_config("", stream, {"workers": "1", "connections": "1024", "level": "crit"})):
            raise Failure(f"{kind} refuses it:\n{running.complaint}")
        try:
            running.start()
            results = asyncio.run(play_all(running, ports, clients))
            running.end()
        finally:
            running.kill()
        errors = [[masked(line) for line in BROKEN.sub("broken header", running.read(f"error{at}.log")).splitlines()] for at in range(len(servers))]
    return results, errors


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    pick, packets = random.Random(chosen.seed), Packets(chosen.seed)
    first = Ports().take(chosen.servers + 2)
    ports = {"echo": first, "dead": first + 1, "front": first + 2}
    made = [server(pick, at, ports) for at in range(chosen.servers)]
    clients = [[client(pick, packets, introduced, text) for _ in range(CLIENTS)] for introduced, text in made]
    (theirs, their_errors), (ours, our_errors) = (outcomes(kind, [one for _, one in made], clients, ports) for kind in ("nginx", "spcd"))
    tally = Tally()
    for at, (_, text) in enumerate(made):
        same_errors = their_errors[at] == our_errors[at]
        if not same_errors:
            print("\n".join([f"error logs of server {at} differ:", text, *difflib.unified_diff(their_errors[at], our_errors[at], "nginx", "spcd", lineterm="", n=1)]))
        for number, one in enumerate(clients[at]):
            good = same_errors and theirs[at][number] == ours[at][number]
            if theirs[at][number] != ours[at][number]:
                print("\n".join([f"client {number} of server {at}: {one}"[:1000], text, f"nginx {theirs[at][number]}"[-600:],
                                 f"spcd  {ours[at][number]}"[-600:]]))
            tally.check(good, f"server {at}, client {number}")
    return tally.end()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        print(f"FAILED: {failure}\n0 passed, 1 failed")
        sys.exit(1)
