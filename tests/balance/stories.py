#!/usr/bin/python3
"""Random groups, and what befalls them: the same story through nginx and spcd. Who served whom, what became of each
session and what the log said must be the same. Last line: "N passed, N failed"; a test is a group in a story.

    tests/balance/stories.py [--count N] [--seed S] [--fades]

A story is a list of steps: a client comes (a connection, or a datagram) and stays, one of those that are here leaves, a
server stops or starts again. After each step both programs have come to rest. With --fades servers that failed come
back in a while, by the clock; a busy machine may need another run.
"""
import argparse
import collections
import os
import random
import re
import socket
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, ROOT + "/tests/engine")
sys.dont_write_bytecode = True

from server import Server  # noqa: E402
from talk import Failure  # noqa: E402
from wire import PATIENCE, Ports  # noqa: E402

GROUPS, SERVERS, STEPS = 12, 5, 240
PAUSE = 3.1  # within this a fail_timeout of 2 s is over, in whole seconds
METHODS = ["", "", "hash $remote_addr;", "hash $remote_addr consistent;", "least_conn;", "least_conn;"]
LINE = re.compile(r"\[(warn|error|crit|alert|emerg)\] \d+#\d+: \*\d+ (.*), client: \S+, server: [^,]*:(\d+)(.*)")


class Maker:
    """A configuration and a story; the ports are filled in later."""

    def __init__(self, seed, fades):
        self.random, self.fades = random.Random(seed), fades

    def server(self, at, backup):
        pick, words = self.random, [f"server 127.0.0.1:{{{at}}}"]
        for odds, word in ((0.5, f"weight={pick.randint(1, 5)}"), (0.3, f"max_conns={pick.randint(1, 3)}"),
                           (0.4, f"max_fails={pick.randint(0, 3)}"), (0.7, "fail_timeout=2s" if self.fades else "fail_timeout=1h"), (0.1, "down")):
            if pick.random() < odds:
                words.append(word)
        return " ".join(words + ["backup"] * backup) + ";"

    def group(self, name):
        pick, method = self.random, self.random.choice(METHODS)
        backups = pick.random() < 0.4 and "hash" not in method
        count = pick.choice([1, 2, 3, 3, 4, 5])
        twice = pick.random() < 0.2 and "consistent" not in method
        chosen = [pick.randrange(SERVERS) for _ in range(count)] if twice else pick.sample(range(SERVERS), count)
        lines = [self.server(at, backups and i and pick.random() < 0.5) for i, at in enumerate(chosen)]
        zone = pick.choice(["", "", f"zone {name} 64k;", "zone all 256k;"])
        return f"upstream {name} {{ {method} {zone} {' '.join(lines)} }}"

    def proxy(self):
        pick = self.random
        return " ".join(word for odds, word in ((0.3, f"proxy_next_upstream_tries {pick.randint(1, 4)};"),
                                                (0.15, "proxy_next_upstream off;")) if pick.random() < odds)

    def stream(self):
        lines = ["log_format ends '$server_port $protocol $status $upstream_addr';", "access_log @dir/ends.log ends;"]
        for at in range(GROUPS):
            proxy = self.proxy()
            lines.append(self.group(f"g{at}"))
            for udp in ("", " udp"):
                lines.append(f"server {{ listen 127.0.0.1:{{{SERVERS + at}}}{udp}; proxy_pass g{at}; {proxy} "
                             f"{'proxy_responses 1;' if udp else ''} }}")
        return lines

    def step(self):
        pick, group = self.random, self.random.randrange(GROUPS)
        return pick.choices([("comes", group, pick.choice(["tcp", "tcp", "udp"]), f"127.0.{pick.randint(1, 9)}.1"),
                             ("leaves", pick.random()), ("turns", pick.randrange(SERVERS)), ("waits", PAUSE)], [70, 26, 5, 0.5 * self.fades])[0]

    def story(self):
        steps = [self.step() for _ in range(STEPS)]
        return [("leaves", int(step[1] * at)) if step[0] == "leaves" else step for at, step in enumerate(steps)]


class Stage:
    """Origins and clients of one telling; everything happens in pump()."""

    def __init__(self, ports, folder):
        self.ports, self.ends = ports, folder + "/ends.log"
        self.listeners, self.datagrams, self.held = {}, {}, []
        self.asked, self.clients = {}, {}  # by the number of the step; asked: what a datagram said: (server, its sender)
        for at in range(SERVERS):
            self.turn(at)

    def turn(self, at):
        if at in self.listeners:
            self.listeners.pop(at).close()
            self.datagrams.pop(at).close()
            return
        for kind, known in ((socket.SOCK_STREAM, self.listeners), (socket.SOCK_DGRAM, self.datagrams)):
            one = known[at] = socket.socket(socket.AF_INET, kind)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind(("127.0.0.1", self.ports[at]))
            one.setblocking(False)
        self.listeners[at].listen(64)

    def pump(self):
        for at, one in self.listeners.items():
            try:
                peer, _ = one.accept()
                peer.send(b"%d" % at)
                self.held.append(peer)
            except OSError:
                pass
        for at, one in self.datagrams.items():
            try:
                data, peer = one.recvfrom(100)
                self.asked[data] = (at, peer)
            except OSError:
                pass
        for one in self.held[:]:
            one.setblocking(False)
            try:
                over = not one.recv(100)
            except BlockingIOError:
                continue
            except OSError:
                over = True
            if over:
                self.held.remove(one)
                one.close()

    def ended(self):
        try:
            with open(self.ends, "rb") as file:
                return file.read().count(b"\n")
        except OSError:
            return 0

    def wait(self, condition, what):
        deadline = time.monotonic() + PATIENCE
        while not (found := condition()):
            self.pump()
            if time.monotonic() > deadline:
                raise Failure(f"{what}: nothing happens")
            time.sleep(0.001)
        return found

    def comes(self, group, protocol, source, number):
        before, text = self.ended(), b"%d" % number
        client = socket.socket(socket.AF_INET, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
        client.bind((source, 0))
        client.connect(("127.0.0.1", self.ports[SERVERS + group]))
        client.setblocking(False)
        if protocol == "udp":
            client.send(text)
            self.wait(lambda: text in self.asked or self.ended() > before, "a datagram")
            served = self.asked[text][0] if text in self.asked else None
        else:
            served = self.hear(client)
        if served is None:
            self.wait(lambda: self.ended() > before, "the end of a session")
            client.close()
        else:
            self.clients[number] = client
        return served

    def hear(self, client):
        heard = []

        def hears():
            try:
                heard.append(client.recv(10))
            except BlockingIOError:
                return False
            return True
        self.wait(hears, "a connection")
        return int(heard[0]) if heard[0] else None

    def leaves(self, number):
        """Unless it is not here, or the server that should answer is stopped."""
        client, before = self.clients.get(number), self.ended()
        if not client:
            return
        if client.type == socket.SOCK_DGRAM:
            server, peer = self.asked[b"%d" % number]
            if server not in self.datagrams:
                return
            self.datagrams[server].sendto(b"answer", peer)
        else:
            client.close()
        self.clients.pop(number)
        self.wait(lambda: self.ended() > before, "a client leaves")
        client.close()

    def close(self):
        for one in [*self.listeners.values(), *self.datagrams.values(), *self.held, *self.clients.values()]:
            one.close()


def take(stage, number, step):
    if step[0] == "comes":
        return stage.comes(*step[1:], number)
    return {"leaves": stage.leaves, "turns": stage.turn, "waits": time.sleep}[step[0]](step[1])


def news(server, ports, done):
    """The lines of both logs that are new, and whose they are."""
    for at, name in enumerate(("error.log", "ends.log")):
        text = server.read(name)[done[at]:]
        done[at] += len(text)
        for line in text.split("\n"):
            found = LINE.search(line)
            if found:
                yield ports.index(int(found[3])) - SERVERS, f"[{found[1]}] {found[2]} {found[4]}"
            elif at and line:
                yield ports.index(int(line.split()[0])) - SERVERS, line


def tell(kind, stream, story, ports):
    """What was seen, by group: [the lines]."""
    build = os.path.join(ROOT, os.environ.get("SPCD_BUILD", "build"))
    seen = collections.defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="spc-") as folder:
        os.chmod(folder, 0o755)
        server = Server(kind, folder, {name: f"{build}/{name}" for name in ("spcc", "spcd")})
        text = "\n".join(stream)
        for at, port in enumerate(ports):
            text = text.replace(f"{{{at}}}", str(port))
        if not server.place(server.whole_config("", text.replace("@dir", folder),
                                                {"workers": "1", "connections": "512", "level": "warn"})):
            raise Failure(f"{kind} refuses it:\n{server.complaint}")
        stage, done = Stage(ports, folder), [0, 0]
        try:
            server.start()
            for number, step in enumerate(story):
                said = take(stage, number, step)
                for group, line in news(server, ports, done):
                    seen[group].append(f"step {number}, {' '.join(map(str, step))}: {line}")
                if step[0] == "comes":
                    seen[step[1]].append(f"step {number}, {' '.join(map(str, step))}: {said}")
        finally:
            stage.close()
            server.kill()
    return seen


def compare(maker, seed, ports):
    """How many groups differ."""
    stream, story = maker.stream(), maker.story()
    theirs, ours = (tell(kind, stream, story, ports) for kind in ("nginx", "spcd"))
    failed = 0
    for group in range(GROUPS):
        if theirs[group] == ours[group]:
            continue
        failed += 1
        print(f"FAILED seed {seed}:\n    " + "\n    ".join(x for x in stream if f"g{group} " in x or f"g{group};" in x))
        at = next((i for i, (a, b) in enumerate(zip(theirs[group], ours[group])) if a != b), -1)
        print("\n".join(f"    {kind} {line}" for kind, lines in (("nginx", theirs), ("spcd ", ours))
                        for line in lines[group][max(0, at - 2) : at + 2]))
    return failed


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--count", type=int, default=1)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--fades", action="store_true")
    options = options.parse_args()
    ports = Ports()
    first = ports.take(SERVERS + GROUPS)
    seeds = range(options.seed, options.seed + options.count)
    failed = sum(compare(Maker(seed, options.fades), seed, list(range(first, first + SERVERS + GROUPS))) for seed in seeds)
    print(f"{GROUPS * options.count - failed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        print(f"FAILED: {failure}\n0 passed, 1 failed")
        sys.exit(1)
