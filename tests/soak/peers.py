"""Origins and clients of the soak: each origin is a process of its own, so that no interpreter waits for another."""
import errno
import multiprocessing
import os
import resource
import select
import socket
import time

BLOCK = bytes(256 * 1024)
ENOUGH = (errno.EAGAIN, errno.ECONNRESET, errno.EPIPE)


def raise_limit(count):
    """So many descriptors for this process and those it starts, if that is allowed; how many there are."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(hard, count),) * 2)
    except ValueError:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class Origin:
    """kind: "echo", "source" (sends without end), "sink" (reads without end), "deaf" (accepts, and never reads)."""

    def __init__(self, kind, host="127.0.0.1"):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((host, 0))
        self.listener.listen(8192)
        self.port = self.listener.getsockname()[1]
        self.process = multiprocessing.get_context("fork").Process(target=self.serve, args=(kind,), daemon=True)
        self.process.start()

    def serve(self, kind):
        poll, peers = select.epoll(), {}
        self.listener.setblocking(False)
        poll.register(self.listener, select.EPOLLIN)
        parent = os.getppid()
        while os.getppid() == parent:
            for fd, _ in poll.poll(1):
                if fd == self.listener.fileno():
                    for peer in self.accept_all():
                        peers[peer.fileno()] = peer
                        if kind != "deaf":
                            poll.register(peer, select.EPOLLOUT if kind == "source" else select.EPOLLIN)
                elif not turn(kind, peers[fd]):
                    poll.unregister(fd)
                    peers.pop(fd).close()

    def accept_all(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            peer.setblocking(False)
            yield peer

    def end(self):
        self.process.terminate()
        self.process.join()
        self.listener.close()


def turn(kind, peer):
    """One read or write; False: it is over."""
    try:
        if kind == "source":
            return peer.send(BLOCK) > 0
        data = peer.recv(len(BLOCK))
        if data and kind == "echo":
            peer.setblocking(True)
            peer.sendall(data)
            peer.setblocking(False)
        return bool(data)
    except BlockingIOError:
        return True
    except OSError:
        return False


def connect(port, host="127.0.0.1", source=None):
    return socket.create_connection((host, port), timeout=10, source_address=(source, 0) if source else None)


def echoes(port, text=b"probe\n"):
    """Does a new session work?"""
    try:
        with connect(port) as client:
            client.sendall(text)
            got = b""
            while len(got) < len(text):
                some = client.recv(100)
                if not some:
                    return False
                got += some
            return got == text
    except OSError:
        return False


def receive_for(client, seconds):
    """Bytes, and the seconds between the first and the last of them, beginning a second after the connection."""
    room = bytearray(1 << 20)
    end = time.monotonic() + 1
    while time.monotonic() < end:
        client.recv_into(room)
    start, count = time.monotonic(), 0
    while time.monotonic() < start + seconds:
        got = client.recv_into(room)
        if not got:
            break
        count += got
    return count, time.monotonic() - start


def send_all_it_takes(client):
    """Until nothing more is taken; how many bytes that was."""
    client.setblocking(False)
    count = 0
    while True:
        try:
            count += client.send(BLOCK)
        except OSError as error:
            if error.errno not in ENOUGH:
                raise
            return count
