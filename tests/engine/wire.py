"""Sockets: the clients and origins of one scenario.

Everything is non-blocking and turns in one loop, Wire.pump(): queued bytes are sent whenever the engine waits for
anything, while bytes are read only when a step asks for them. So a step that does not read is a slow reader.
"""
import errno
import os
import random
import select
import socket
import struct
import time

from talk import Failure

# Seconds for anything that must happen; sanitizer builds on a busy machine are slow.
PATIENCE = float(os.environ.get("PATIENCE", "8"))
BLOCK = 64 * 1024
PATTERN_SIZE = 65521  # a prime: no buffer size divides it, so lost or doubled bytes never line up again
PATTERN = random.Random(1).randbytes(PATTERN_SIZE) * 3


def pattern(offset, size):
    at = offset % PATTERN_SIZE
    return PATTERN[at : at + size]


class Address:
    """A named address: what the configuration says, what a socket takes, what the log calls it."""

    def __init__(self, name, family, host, port, path=None, text=None, udp=False):
        self.name, self.family, self.host, self.port, self.path = name, family, host, port, path
        self.udp = udp
        self.text = text or self.shown(host)

    def shown(self, host):
        if self.path:
            return "unix:" + self.path
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    def target(self, host=None):
        """Where to connect or bind; a wildcard is reached at loopback."""
        host = host or {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return self.path or (host, self.port)


class Ports:
    """Free ports below the ephemeral range (and below those that tests/bench takes); an abstract socket locks each against other runs on this machine."""

    def __init__(self):
        self.locks = []

    def take(self, count=1):
        for _ in range(500):
            first = random.SystemRandom().randrange(10000, 20000)
            if all(self.lock(port) for port in range(first, first + count)):
                return first
        raise Failure("no free port")

    def lock(self, port):
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            lock.bind(f"\0spc-talk-{port}")
            for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    with socket.socket(family, kind) as probe:
                        if kind == socket.SOCK_STREAM:
                            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                        probe.bind((host, port))
        except OSError:
            lock.close()
            return False
        self.locks.append(lock)
        return True


class Connection:
    def __init__(self, name, sock, client):
        self.name, self.sock, self.client = name, sock, client
        self.queue = []  # [bytes or (offset, size)], not yet sent
        self.made = 0  # made-up bytes queued so far
        self.checked = 0  # made-up bytes received and compared so far
        self.count = 0  # bytes received
        self.broken = False  # sending met a reset
        self.ended = None  # end, reset, or None: still open
        self.vague = False  # how many bytes it received is a matter of timing
        self.sock.setblocking(False)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send_some(self):
        while self.queue:
            head = self.queue[0]
            piece = pattern(head[0], min(head[1], BLOCK)) if isinstance(head, tuple) else head
            try:
                sent = self.sock.send(piece)
            except BlockingIOError:
                return
            except OSError as error:
                self.queue.clear()
                self.broken = error.errno == errno.ECONNRESET  # told once, here; recv() would then say end of file
                return
            if isinstance(head, tuple):
                rest = (head[0] + sent, head[1] - sent) if sent < head[1] else None
            else:
                rest = head[sent:]
            self.queue[:1] = [rest] if rest else []

    def read_some(self, limit):
        """Up to limit bytes; b"" when there is nothing now, or never again (then .ended says why)."""
        try:
            data = self.sock.recv(limit)
        except BlockingIOError:
            return b""
        except OSError as error:
            self.ended = "reset" if error.errno in (errno.ECONNRESET, errno.EPIPE) else os.strerror(error.errno)
            return b""
        if not data:
            self.ended = "reset" if self.broken else "end"
        self.count += len(data)
        return data

    def compare(self, data):
        """These bytes must be the next of the other side's made-up ones."""
        wanted = pattern(self.checked, len(data))
        if data != wanted:
            at = next(i for i, (a, b) in enumerate(zip(data, wanted)) if a != b)
            raise Failure(f"byte {self.checked + at} is wrong")
        self.checked += len(data)

    def reset(self):
        self.queue.clear()  # what has not gone out never will
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def transcript(self):
        received = "some bytes" if self.vague else f"{self.count} bytes"  # which ones, the steps have compared
        return f"{self.name}: received {received}, then {self.ended or 'left open'}"


class Datagrams(Connection):
    """A client's socket, or what an origin's socket has of one client: each piece is a datagram."""

    def __init__(self, name, sock, client, origin=None, peer=None):
        self.name, self.sock, self.client, self.origin, self.peer = name, sock, client, origin, peer
        self.queue, self.inbox = [], []
        self.made = self.checked = self.count = 0
        self.ended, self.vague = None, False
        self.sock.setblocking(False)

    def send_some(self):
        for head in self.queue:
            data = pattern(*head) if isinstance(head, tuple) else head
            try:
                self.sock.sendto(data, self.peer) if self.peer else self.sock.send(data)
            except ConnectionRefusedError:
                pass
        self.queue.clear()

    def take(self):
        """The next datagram, None if there is none yet."""
        if self.origin:
            self.origin.sort()
        else:
            try:
                self.inbox.append(self.sock.recv(1 << 16))
            except (BlockingIOError, ConnectionRefusedError):
                pass
        if not self.inbox:
            return None
        self.count += len(self.inbox[0])
        return self.inbox.pop(0)


class UdpOrigin:
    """A server of datagrams: each address that it hears from is a connection."""

    says = None

    def __init__(self, address, state):
        self.address, self.met, self.sock = address, 0, None
        self.flows, self.strangers = {}, []
        if state != "off":
            self.listen()
        else:
            self.sock = socket.socket(self.address.family, socket.SOCK_DGRAM)

    def listen(self):
        self.sock = socket.socket(self.address.family, socket.SOCK_DGRAM)
        self.sock.setblocking(False)
        self.sock.bind(self.address.target())

    def stop(self):
        self.sock.close()

    def sort(self):
        while True:
            try:
                data, peer = self.sock.recvfrom(1 << 16)
            except OSError:
                return
            if peer not in self.flows:
                self.flows[peer] = Datagrams(None, self.sock, False, self, peer)
                self.strangers.append(self.flows[peer])
            self.flows[peer].inbox.append(data)

    def accept(self):
        self.sort()
        if not self.strangers:
            return None
        self.met += 1
        return self.strangers.pop(0)


class Origin:
    def __init__(self, address, state, says):
        self.address, self.says = address, says
        self.met = 0
        self.sock = None
        self.fillers = []
        self.bind()
        if state != "off":
            self.listen(0 if state == "full" else 128)
        if state == "full":
            self.fill()

    def bind(self):
        self.sock = socket.socket(self.address.family, socket.SOCK_STREAM)
        self.sock.setblocking(False)
        if not self.address.path:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.sock.bind((self.address.host, self.address.port))

    def listen(self, backlog=128):
        if self.address.path:
            self.sock.bind(self.address.path)
        self.sock.listen(backlog)

    def stop(self):
        self.sock.close()
        if self.address.path:
            os.unlink(self.address.path)
        self.bind()

    def fill(self):
        """With the accept queue full Linux drops every SYN, so connecting here never ends."""
        for _ in range(10):
            one = socket.socket(self.address.family, socket.SOCK_STREAM)
            one.setblocking(False)
            self.fillers.append(one)
            one.connect_ex(self.address.target())
            if not select.select([], [one], [], 0.05)[1]:
                return
        raise Failure(f"{self.address.name}: could not fill the backlog")

    def accept(self):
        try:
            sock = self.sock.accept()[0]
        except OSError:
            return None
        self.met += 1
        return sock


class Wire:
    def __init__(self):
        self.connections, self.origins = {}, {}
        self.ports = set()  # of clients

    def pump(self, until, seconds=PATIENCE, reading=None, limit=BLOCK):
        """Turn until until() is true (True) or the time is over (False).

        reading: (connection, what takes its bytes); limit: how many to read at most, a number or a function.
        """
        deadline = time.monotonic() + seconds
        while True:
            if until():
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self.turn(min(left, 0.02), reading, limit)

    def turn(self, seconds, reading, limit):
        poll, waiting = select.poll(), {}
        for one in self.connections.values():
            if one.queue:
                waiting[one.sock.fileno()] = (one.send_some, select.POLLOUT)
        for origin in self.origins.values():
            if origin.says is not None:
                waiting[origin.sock.fileno()] = (lambda o=origin: self.answer(o), select.POLLIN)
        if reading and not reading[0].ended:
            one, take = reading
            before = waiting.get(one.sock.fileno(), (lambda: None, 0))

            def both():
                before[0]()
                take(one.read_some(limit() if callable(limit) else limit))

            waiting[one.sock.fileno()] = (both, before[1] | select.POLLIN)
        for fd, (_, events) in waiting.items():
            poll.register(fd, events)
        for fd, event in poll.poll(seconds * 1000):
            if event & ~select.POLLHUP or waiting[fd][1] & select.POLLIN:
                waiting[fd][0]()

    def answer(self, origin):
        """An origin that says something: takes the connection, says it, closes."""
        sock = origin.accept()
        if sock:
            sock.setblocking(True)
            sock.sendall(origin.says)
            sock.close()

    def bind_client(self, sock, address, source):
        """To a port that no client before it had: the log knows them by their ports."""
        if address.family == socket.AF_UNIX:
            return
        anywhere = "::" if address.family == socket.AF_INET6 else "0.0.0.0"
        for _ in range(20):
            probe = socket.socket(sock.family, sock.type)
            probe.bind((source or anywhere, 0))
            port = probe.getsockname()[1]
            probe.close()
            if port in self.ports:
                continue
            try:
                sock.bind((source or anywhere, port))
            except OSError:
                continue
            self.ports.add(port)
            return

    def connect(self, name, address, host, source, window):
        sock = socket.socket(address.family, socket.SOCK_DGRAM if address.udp else socket.SOCK_STREAM)
        if window:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        self.bind_client(sock, address, source)
        sock.settimeout(PATIENCE)
        try:
            sock.connect(address.target(host))
        except OSError:
            sock.close()
            raise
        connection = (Datagrams if address.udp else Connection)(name, sock, True)
        if name:
            self.connections[name] = connection
        return connection

    def accept(self, origin, name):
        sock = None

        def taken():
            nonlocal sock
            sock = origin.accept()
            return sock

        if not self.pump(taken):
            raise Failure(f"nobody connects to {origin.address.name}")
        if isinstance(sock, Datagrams):
            sock.name = name
        self.connections[name] = sock if isinstance(sock, Datagrams) else Connection(name, sock, False)

    def read_all(self, connection):
        """To the end, however it comes."""
        data = bytearray()
        if not self.pump(lambda: connection.ended, reading=(connection, data.extend)):
            raise Failure(f"{connection.name or 'client'}: no end after {bytes(data[:200])!r}")
        return bytes(data)

    def finish(self):
        """End what is still open: clients first, then origins once they know, so that every run ends alike."""
        # Connections that nobody accepted go with the listening sockets.
        still = [one for one in self.connections.values() if one.sock.fileno() >= 0]
        for one in still:
            if one.client:
                one.sock.close()
        for one in still:
            if not one.client and not isinstance(one, Datagrams):
                poll = select.poll()
                poll.register(one.sock, select.POLLRDHUP)
                poll.poll(1000)
                one.sock.close()
        for origin in self.origins.values():
            origin.sock.close()
