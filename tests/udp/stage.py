"""What the tests of datagrams stand on: a server in a folder, an upstream server that does what the test says, clients."""
import os
import re
import resource
import select
import socket
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [ROOT + "/tests/engine"]
sys.dont_write_bytecode = True

from server import Server  # noqa: E402
from wire import PATIENCE, Ports  # noqa: E402

BUILD = os.path.join(ROOT, os.environ.get("SPCD_BUILD", "build"))
SILENCE = 0.2  # seconds in which what must not come had time to
HELD = Ports()
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)


class Stage:
    """with Stage("server { listen 127.0.0.1:{port} udp; ... }") as stage: a server that runs, and how it ended."""

    def __init__(self, stream, workers=1, connections=256, level="info", ports=1, main="", **words):
        self.folder = tempfile.TemporaryDirectory(prefix="spc-")
        os.chmod(self.folder.name, 0o755)
        self.port = HELD.take(ports)
        self.words = {"port": self.port, "dir": self.folder.name, **words}
        self.settings = {"workers": str(workers), "connections": str(connections), "level": level}
        self.main = main
        self.server = Server("spcd", self.folder.name, {"spcc": BUILD + "/spcc", "spcd": BUILD + "/spcd"})
        self.text = self.config(stream)

    def config(self, stream):
        for word, value in self.words.items():
            stream = stream.replace("{" + word + "}", str(value))
        return self.server.whole_config(self.main, stream, self.settings)

    def __enter__(self):
        assert self.server.place(self.text), self.server.complaint
        self.server.start()
        return self

    def __exit__(self, *why):
        try:
            self.server.kill() if any(why) else self.end()
        finally:
            self.folder.cleanup()

    def end(self):
        if self.server.process.poll() is None:
            self.server.signal("TERM")
            self.server.wait(lambda: self.server.process.poll() is not None)
        self.server.end()

    def reload(self, stream):
        self.server.reload(self.config(stream), False)

    def log(self, needle=""):
        """The lines of the error log that have it."""
        return [line for line in self.server.read("error.log").split("\n") if needle in line]

    def counted(self, name):
        """The end of the server, and what its last lines say of a counter, or of a reason to end."""
        self.end()
        found = [re.search(rf"(?:: |, ){name} (\d+)", line) for line in self.log("counted: ") + self.log("sessions ended: ")]
        return sum(int(one.group(1)) for one in found if one)


class Backend:
    """An upstream server's socket: what came, from where; and whatever the test wants to send."""

    def __init__(self, host="127.0.0.1", path=None, family=None):
        self.socket = socket.socket(family or (socket.AF_UNIX if path else socket.AF_INET), socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
        self.socket.bind(path or (host, 0))
        self.name = f"unix:{path}" if path else f"{host}:{self.socket.getsockname()[1]}"

    def take(self, seconds=PATIENCE):
        """(data, from whom), or (None, None)."""
        if not readable(self.socket, seconds):
            return None, None
        return self.socket.recvfrom(1 << 16)

    def take_all(self, quiet=SILENCE):
        """What comes until nothing more does."""
        found = []
        while (one := self.take(quiet))[0] is not None:
            found.append(one)
        return found

    def send(self, data, to):
        self.socket.sendto(data, to)


def readable(one, seconds):
    poll = select.poll()  # select() knows the first 1,024 descriptors only
    poll.register(one, select.POLLIN)
    return poll.poll(seconds * 1000)


def client(port, address="127.0.0.1", host="127.0.0.1"):
    """A socket from a port of its own, connected to the listener."""
    one = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
    one.bind((address, 0))
    one.connect((host, port))
    return one


def receive(one, seconds=PATIENCE):
    """The next datagram; None: there was none."""
    return one.recv(1 << 16) if readable(one, seconds) else None


def wait(condition, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
