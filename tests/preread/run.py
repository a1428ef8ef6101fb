#!/usr/bin/python3
"""First packets of all kinds through nginx and through spcd: the same variables, status, bytes and outcome.

    tests/preread/run.py [--count N] [--seed S]

Each packet is a connection of its own to a server with ssl_preread, behind which there is one that gives back what it
gets; then the client ends its side. Compared are the line of the access log and what came back. Some packets come in
segments. Last line: "N passed, N failed"; a test is a packet.
"""
import argparse
import asyncio
import collections
import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [ROOT + "/tests/engine", HERE]
sys.dont_write_bytecode = True

from packets import Packets  # noqa: E402
from server import Server  # noqa: E402
from talk import Failure  # noqa: E402
from wire import Ports  # noqa: E402

AT_ONCE, PATIENCE = 16, 10
SEGMENTED = 8  # every so-manieth packet comes in segments

# Without $bytes_received: what is preread does not count, and how much that is depends on the segments.
STREAM = """
    log_format line "$remote_port $status $bytes_sent $upstream_bytes_sent $upstream_bytes_received "
                    "<$ssl_preread_server_name> <$ssl_preread_alpn_protocols> <$ssl_preread_protocol>";
    server {{
        listen 127.0.0.1:{front};
        ssl_preread on;
        proxy_half_close on;
        access_log {folder}/access.log line;
        proxy_pass 127.0.0.1:{echo};
    }}
"""


async def give_back(reader, writer):
    try:
        while block := await reader.read(65536):
            writer.write(block)
        writer.write_eof()
        await writer.drain()
    except OSError:
        pass
    writer.close()


async def send(writer, packet, at):
    step = len(packet) if at % SEGMENTED else max(1, len(packet) // 3)
    for start in range(0, len(packet), max(1, step)):
        writer.write(packet[start:start + step])
        await writer.drain()
        if step < len(packet):
            await asyncio.sleep(0.002)
    writer.write_eof()


async def play(port, packet, at):
    """The client's port, and what came back; a reset is an end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    client = writer.get_extra_info("sockname")[1]
    back = b""
    try:
        await send(writer, packet, at)
        while block := await asyncio.wait_for(reader.read(65536), PATIENCE):
            back += block
    except OSError:
        pass
    writer.close()
    return client, back


async def play_all(ports, packets):
    echo = await asyncio.start_server(give_back, "127.0.0.1", ports["echo"], backlog=512)
    gate, results = asyncio.Semaphore(AT_ONCE), [None] * len(packets)
    order = collections.defaultdict(list)  # the connections of a port, in their order

    async def one(at):
        async with gate:
            client, results[at] = await play(ports["front"], packets[at], at)
            order[client].append(at)
    await asyncio.gather(*(one(at) for at in range(len(packets))))
    echo.close()
    return results, order


def outcomes(kind, packets):
    build = os.path.join(ROOT, os.environ.get("SPCD_BUILD", "build"))
    first = Ports().take(2)
    ports = {"front": first, "echo": first + 1}
    with tempfile.TemporaryDirectory(prefix="spc-") as folder:
        os.chmod(folder, 0o755)
        server = Server(kind, folder, {name: f"{build}/{name}" for name in ("spcc", "spcd")})
        settings = {"workers": "1", "connections": "512", "level": "crit"}
        if not server.place(server.whole_config("", STREAM.format(folder=folder, **ports), settings)):
            raise Failure(f"{kind} refuses it:\n{server.complaint}")
        try:
            server.start()
            results, order = asyncio.run(play_all(ports, packets))
            server.wait(lambda: server.read("access.log").count("\n") >= len(packets))
            server.end()
        finally:
            server.kill()
        lines = server.read("access.log").splitlines()
    if len(lines) != len(packets):
        raise Failure(f"{kind} logged {len(lines)} of {len(packets)} connections")
    logged = [""] * len(packets)
    for line in lines:
        client, rest = line.split(" ", 1)
        logged[order[int(client)].pop(0)] = rest
    return list(zip(logged, results))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    maker = Packets(chosen.seed)
    packets = [maker.packet() for _ in range(chosen.count)]
    theirs, ours = (outcomes(kind, packets) for kind in ("nginx", "spcd"))
    failed = 0
    for packet, one, other in zip(packets, theirs, ours):
        if one != other:
            failed += 1
            if failed < 20:
                print(f"FAILED {packet[:400]!r}... of {len(packet)} bytes\n  nginx: {one[0]}, {len(one[1])} bytes back"
                      f"\n  spcd:  {other[0]}, {len(other[1])} bytes back")
    found = sum("<TLSv" in one[0] or "<SSL" in one[0] for one in theirs)
    none = sum("<->" in one[0] and one[1] != b"" for one in theirs)
    print(f"by nginx: {found} with a version, {none} no ClientHello, {sum(one[1] == b'' for one in theirs)} never passed on")
    if not found or not none:
        raise Failure("the packets are all of one kind")
    print(f"{len(packets) - failed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        print(f"FAILED: {failure}\n0 passed, 1 failed")
        sys.exit(1)
