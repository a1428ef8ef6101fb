"""Ten connections at a time for each of many keys, against limit_conn 5: what a client sees of the limit."""
import random
import select
import socket
import struct

AT_ONCE, MOST = 10, 5
ENDS = ("closes", "resets", "shuts", "waits")


class Key:
    """One source address, and its connections of this round."""

    def __init__(self, number):
        self.source = f"127.{1 + number // 250}.{number % 250}.1"
        self.inside = self.largest = self.asked = 0
        self.open, self.left = [], []  # left: for proxy_timeout to end

    def enters(self, client):
        self.inside += 1
        self.largest = max(self.largest, self.inside)
        self.open.append(client)


class Crowd:
    """All keys, those of some of which connect at the same time; one epoll for all, so each count is exact."""

    def __init__(self, port, count, seed):
        self.port, self.keys = port, [Key(i) for i in range(count)]
        self.poll, self.clients, self.chance = select.epoll(), {}, random.Random(seed)
        self.entered = self.refused = 0

    def connect(self, key):
        client = socket.socket()
        client.bind((key.source, 0))
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", self.port))
        key.asked += 1
        self.clients[client.fileno()] = [client, key, "asks"]
        self.poll.register(client, select.EPOLLOUT)

    def forget(self, client):
        self.poll.unregister(client)
        del self.clients[client.fileno()]
        client.close()

    def answered(self, client, key, entry):
        """It asked to be let in by a byte, which comes back if it is."""
        key.asked -= 1
        try:
            inside = client.recv(1) == b"x"
        except ConnectionError:
            inside = False
        if inside:
            self.forget_ended(key)
            entry[2] = "inside"
            self.entered += 1
            key.enters(client)
        else:
            self.refused += 1
            self.forget(client)
        if key.asked == 0:
            for one in key.open:
                self.end(one, key)
            key.open = []

    def forget_ended(self, key):
        """The server closes a connection before it counts it no more: who has come in since comes after that."""
        for client in list(key.left):
            try:
                ended = client.recv(1, socket.MSG_PEEK) == b""
            except BlockingIOError:
                ended = False
            if ended:
                self.leave(client, key)

    def leave(self, client, key):
        key.inside -= 1
        key.left.remove(client)
        self.forget(client)

    def end(self, client, key):
        """Until it has begun to end it counts, and so it must at the server."""
        how = self.chance.choice(ENDS)
        if how == "waits":
            key.left.append(client)
            return
        key.inside -= 1
        if how == "shuts":
            client.shutdown(socket.SHUT_WR)
            self.clients[client.fileno()][2] = "shut"
            return
        if how == "resets":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.forget(client)

    def turn(self, fd):
        if fd not in self.clients:
            return
        entry = self.clients[fd]
        client, key, state = entry
        if state == "asks":
            try:
                client.send(b"x")
            except ConnectionError:
                pass
            entry[2] = "waits"
            self.poll.modify(client, select.EPOLLIN)
        elif state == "waits":
            self.answered(client, key, entry)
        elif client in key.left:
            self.leave(client, key)
        else:  # it has shut, and now the server has too; or the server was faster than its nine companions
            if client in key.open:
                key.open.remove(client)
                key.inside -= 1
            self.forget(client)

    def turn_all(self, seconds=10.0):
        """False: nothing has happened for so long."""
        events = self.poll.poll(seconds)
        for fd, _ in events:
            self.turn(fd)
        return bool(events)

    def round(self, most, at_once=AT_ONCE):
        """Each key once, at most so many connections at a time."""
        for key in self.chance.sample(self.keys, len(self.keys)):
            for _ in range(at_once):
                self.connect(key)
            while len(self.clients) > most:
                assert self.turn_all(), "nobody answers"

    def finish(self):
        while self.clients:
            assert self.turn_all(), f"{len(self.clients)} connections are neither let in nor refused nor ended"

    def largest(self):
        return max(key.largest for key in self.keys)
