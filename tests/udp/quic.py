"""Datagrams like QUIC's (RFC 8999, 9000): a client that changes its port keeps its server where the group hashes on the
connection id; whatever the workers, across a reload, and whatever else comes."""
import os
import random
import select
import struct

from stage import PATIENCE, Backend, Stage, client, receive

VERSION = 1
CLIENTS = 40
STREAM = """log_format ids '$quic_dcid $upstream_addr';
    upstream servers { %s; {servers} }
    server { listen 127.0.0.1:{port} udp rcvbuf=1m; proxy_pass servers; proxy_timeout 20s; access_log {dir}/ids.log ids; }"""


def long_packet(target, source, rest=b"payload"):
    return struct.pack("!BI", 0xC3, VERSION) + bytes([len(target)]) + target + bytes([len(source)]) + source + rest


def short_packet(target, rest=None):
    return b"\x43" + target + (rest or os.urandom(30))


class Servers:
    """Some that answer each first packet of a connection with an id of their own, of their own size."""

    def __init__(self, sizes=(8, 8, 8, 8)):
        self.backends, self.sizes = [Backend() for _ in sizes], sizes
        self.text = " ".join(f"server {one.name};" for one in self.backends)

    def take(self):
        """Who got something: (number, data, from whom)."""
        poll = select.poll()
        for one in self.backends:
            poll.register(one.socket, select.POLLIN)
        ready = [fd for fd, _ in poll.poll(PATIENCE * 1000)]
        for number, one in enumerate(self.backends):
            if one.socket.fileno() in ready:
                return number, *one.take()
        return None, None, None

    def send(self, number, data, peer):
        self.backends[number].send(data, peer)


class Connection:
    """One QUIC connection, as far as a proxy sees it."""

    def __init__(self, stage, servers, retry=False):
        self.stage, self.servers, self.ports = stage, servers, []
        self.name, first = os.urandom(8), os.urandom(random.randrange(8, 21))
        self.move()
        self.socket.send(long_packet(first, self.name))
        self.server, data, peer = servers.take()
        if retry:  # the server wants to see that the address is the client's
            servers.send(self.server, long_packet(self.name, os.urandom(servers.sizes[self.server])), peer)
            first = self.hears()[6 + len(self.name) + 1:][:servers.sizes[self.server]]
            self.socket.send(long_packet(first, self.name))
            assert servers.take()[0] == self.server
        self.id = os.urandom(servers.sizes[self.server])
        servers.send(self.server, long_packet(self.name, self.id), peer)
        self.hears()

    def hears(self):
        data = receive(self.socket)
        assert data and data[6:6 + len(self.name)] == self.name, data
        return data

    def move(self):
        """To another port; nobody else gets the one before, whose session is not over."""
        self.ports.append(client(self.stage.port))
        self.socket = self.ports[-1]

    def goes_on(self, packet=None):
        """Does its next packet reach its server, and the answer the client?"""
        self.socket.send(packet or short_packet(self.id))
        number, data, peer = self.servers.take()
        if number != self.server:
            return False
        self.servers.send(number, short_packet(self.name, b"answer"), peer)
        return receive(self.socket) == b"\x43" + self.name + b"answer"


def moved(method, sizes, workers=2):
    servers = Servers(sizes)
    with Stage(STREAM % method, workers=workers, servers=servers.text) as stage:
        connections = [Connection(stage, servers, retry=i % 4 == 0) for i in range(CLIENTS)]
        used = {one.server for one in connections}
        stayed = sum(one.goes_on() for one in connections)
        for one in connections:
            one.move()
        kept = sum(one.goes_on() for one in connections)
        for one in connections:
            one.move()
        long_ones = sum(one.goes_on(long_packet(one.id, one.name)) for one in connections)
        stage.reload(STREAM % method)
        for one in connections:
            one.move()
        reloaded = sum(one.goes_on() for one in connections)
    return used, stayed, kept, long_ones, reloaded


def keeps_its_server():
    """With each method of hash, ids of one size and of several."""
    for method in ("hash $quic_dcid", "hash $quic_dcid consistent", "maglev $quic_dcid"):
        for sizes in ((8, 8, 8, 8), (20, 8, 4, 1 + 8)):
            used, *kept = moved(method, sizes)
            yield used == {0, 1, 2, 3}, f"{method}: all have some: {used}"
            yield kept == [CLIENTS] * 4, f"{method}, ids of {sizes} bytes: {kept} of {CLIENTS} keep their server"


def else_not():
    """The test could fail: by turns they come anywhere."""
    used, stayed, *kept = moved("random", (8, 8, 8, 8))
    yield stayed == CLIENTS and max(kept) < CLIENTS, f"{kept} of {CLIENTS} keep their server by chance"


def server_gone():
    """A server that is down is no home: the connection is another's then, and the datagram not lost."""
    servers = Servers()
    with Stage(STREAM % "hash $quic_dcid", servers=servers.text) as stage:
        one = Connection(stage, servers)
        down = servers.text.replace(f"{servers.backends[one.server].name};", f"{servers.backends[one.server].name} down;")
        stage.words["servers"] = down
        stage.reload(STREAM % "hash $quic_dcid")
        one.move()
        one.socket.send(short_packet(one.id))
        number = servers.take()[0]
        yield number is not None and number != one.server, f"another server takes it: {number}"


def unknown():
    """What is in front of a short header that no server has shown the id of."""
    servers = Servers()
    with Stage(STREAM % "hash $quic_dcid", workers=2, servers=servers.text) as stage:
        same, names, ports = 0, [os.urandom(8) for _ in range(20)], []
        for name in names:
            met = set()
            for _ in range(3):
                ports.append(client(stage.port))
                ports[-1].send(short_packet(name))
                met.add(servers.take()[0])
            same += len(met) == 1
        yield same == len(names), f"the same eight bytes find the same server: {same} of {len(names)}"
        first = os.urandom(11)
        client(stage.port).send(long_packet(first, b""))
        servers.take()
        client(stage.port).send(b"\x43abc")
        servers.take()
        stage.end()
        said = [line.split()[0] for line in stage.server.read("ids.log").split("\n") if line]
        yield all(said.count(name.hex()) == 3 for name in names), "the log has them in hex"
        yield first.hex() in said and "-" in said, f"an id of a long header, and none: {said[-2:]}"


def routed():
    """Servers whose ids say whose they are: a map finds them, whatever the port (as QUIC-LB means it)."""
    servers = Servers()
    stream = """map $quic_dcid $home { ~^..00 {one}; ~^..01 {two}; default {one}; }
        server { listen 127.0.0.1:{port} udp; proxy_pass $home; proxy_timeout 20s; }"""
    with Stage(stream, one=servers.backends[0].name, two=servers.backends[1].name) as stage:
        for number in (0, 1, 1, 0):
            client(stage.port).send(short_packet(os.urandom(1) + bytes([number]) + os.urandom(8)))
            found = servers.take()[0]
            yield found == number, f"server {number}: {found}"


def garbage():
    """Whatever comes, from either side, passes as it is."""
    servers, source = Servers(), random.Random(4)
    with Stage(STREAM % "hash $quic_dcid", connections=1024, servers=servers.text) as stage:
        wrong = 0
        for _ in range(600):
            one = client(stage.port)
            data = source.randbytes(source.choice([0, 1, 2, 5, 6, 7, 12, 30]))
            if data and source.random() < 0.7:
                data = bytes([data[0] | 0x80]) + data[1:5] + bytes([source.choice([0, 8, 20, 21, 255])]) + data[6:]
            one.send(data)
            number, there, peer = servers.take()
            wrong += there != data
            servers.send(number, data[::-1] + data, peer)
            wrong += receive(one) != data[::-1] + data
            one.close()
        yield wrong == 0, f"{wrong} did not"


CASES = [keeps_its_server, else_not, server_gone, unknown, routed, garbage]
