"""An origin and a proxy before it, and work for them."""
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time

from processes import LOAD_CPU, PROXY_CPU, settle, start, stop

NEXT_PORT = [20000]


def free_ports(count):
    """Consecutive ports below the kernel's own range, never used before by this run: no TIME_WAIT is inherited."""
    first = NEXT_PORT[0]
    while first + count < 32000:
        held = []
        try:
            for port in range(first, first + count):
                held.append(socket.socket())
                held[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                held[-1].bind(("127.0.0.1", port))
            NEXT_PORT[0] = first + count if first + count < 30000 else 20000
            return list(range(first, first + count))
        except OSError:
            first += len(held)
        finally:
            for sock in held:
                sock.close()
    raise RuntimeError("no free ports")


def answers(port, message=b"x" * 64):
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as sock:
            sock.sendall(message)
            return message == b"" or sock.recv(len(message)) != b""
    except OSError:
        return False


def wait_until(test, seconds=10):
    stop_at = time.monotonic() + seconds
    while not test():
        if time.monotonic() > stop_at:
            return False
        time.sleep(0.001)
    return True


class Serving:
    """An origin and a proxy before it, for a with statement."""

    def __init__(self, bench, proxy, origin, servers=1, connections=4096, reloadable=False, floor_mode="copy", spare=0,
                 wrapper=()):
        self.bench, self.proxy, self.connections, self.wrapper = bench, proxy, connections, list(wrapper)
        self.mode = floor_mode if proxy.floor else reloadable
        self.origin_mode, self.servers = origin, servers
        self.ports = free_ports(servers + spare)

    def __enter__(self):
        self.where = tempfile.mkdtemp(prefix=f"{self.proxy.name}-", dir=self.bench.where)
        self.origin = start([self.bench.load_program, "origin", self.origin_mode], LOAD_CPU, stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, text=True)
        self.origin_port = json.loads(self.origin.stdout.readline())["port"]
        try:
            self.configure(self.servers)
            self.child = self.pid = None
        except BaseException:
            stop(self.origin)
            raise
        return self

    def configure(self, servers):
        self.proxy.write(self.where, self.origin_port, self.ports[:servers], self.connections)
        self.proxy.prepare(self.where)

    def command(self):
        return [*self.wrapper, *self.proxy.command(self.where, self.mode)]

    def launch(self):
        with open(f"{self.where}/output", "w", encoding="ascii") as output:
            self.child = start(self.command(), PROXY_CPU, stdin=subprocess.PIPE, stdout=output, stderr=output)
        self.pid = self.child.pid
        message = b"" if self.origin_mode == "bulk" else b"x" * 64
        if not wait_until(lambda: answers(self.ports[0], message), 30 if self.wrapper else 10):
            raise RuntimeError(f"{self.proxy.name} does not serve: {self.complaint()}")
        settle()
        return self

    def complaint(self):
        text = ""
        for name in ("output", "error.log"):
            if os.path.exists(f"{self.where}/{name}"):
                with open(f"{self.where}/{name}", encoding="utf-8", errors="replace") as file:
                    text += file.read()[-500:]
        return text.strip() or "and says nothing"

    def __exit__(self, *_):
        if self.child:
            stop(self.child)
        stop(self.origin)
        shutil.rmtree(self.where, ignore_errors=True)

    def load(self, *arguments):
        return self.bench.load(*arguments)

    def work(self, arguments, meter):
        """Run a load; the meter is on from when it is ready until all it did is done, and no longer."""
        load = start([self.bench.load_program, *map(str, arguments)], LOAD_CPU, stdin=subprocess.PIPE,
                     stdout=subprocess.PIPE, text=True)
        try:
            load.stdout.readline()
            settle()
            meter.begin(self)
            load.stdin.write("\n")
            load.stdin.flush()
            seen = json.loads(load.stdout.readline())
            settle()
            return seen, meter.end(self)
        finally:
            stop(load)
