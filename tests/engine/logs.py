"""The error log: parse its lines, and make those of two runs comparable.

    2026/01/02 03:04:05 [info] 12#34: *7 client 127.0.0.1:40123 connected to 127.0.0.1:10001
    [info] *1 client <c> connected to <front>

Session numbers become ranks, known addresses become names, other ports become *.
"""
import re
import socket

LINE = re.compile(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[(\w+)\] (\d+)#(\d+): (?:\*(\d+) )?(.*)$")
ADDRESS = re.compile(r"(\d+\.\d+\.\d+\.\d+|\[[0-9a-f:.]+\]):(\d+)\b")
GRAVE = ("warn", "error", "crit", "alert", "emerg")


class Entry:
    def __init__(self, level, session, text):
        self.level, self.session, self.text = level, session, text


def parse(text):
    entries = []
    for line in text.split("\n"):
        found = LINE.match(line)
        if found:
            entries.append(Entry(found[1], int(found[4] or 0), found[5]))
        elif line:
            entries.append(Entry("emerg", 0, "not a log line: " + line))
    return entries


class Names:
    """What the addresses of one run are called."""

    def __init__(self, folder):
        self.folder = folder
        self.exact, self.ports, self.paths = {}, {}, {}
        self.proxy = {}  # our ends of upstream connections: the kernel gives a client the same port now and then

    def add_address(self, address):
        if address.path:
            self.paths["unix:" + address.path] = f"<{address.name}>"
        else:
            self.exact[address.shown(address.host)] = f"<{address.name}>"
            self.ports[str(address.port)] = address.name

    def add_client_side(self, name, sock, peer):
        """The ephemeral end of a connection: a client's own address, or of an origin's connection its peer's."""
        if sock.family == socket.AF_UNIX:
            return
        host, port = (sock.getpeername() if peer else sock.getsockname())[:2]
        known = self.proxy if peer else self.exact
        known[f"[{host}]:{port}" if ":" in host else f"{host}:{port}"] = f"<{name}>"

    def add_peer(self, name, peer):
        """The same of an origin that hears datagrams."""
        if isinstance(peer, tuple):
            host, port = peer[:2]
            self.proxy[f"[{host}]:{port}" if ":" in host else f"{host}:{port}"] = f"<{name}>"

    def apply(self, text):
        for path, name in sorted(self.paths.items(), key=lambda one: -len(one[0])):
            text = text.replace(path, name)
        return ADDRESS.sub(self.of_match, text).replace(self.folder, "<dir>")

    def of_match(self, found):
        known = self.proxy if found.string.endswith("proxy ", 0, found.start()) else self.exact
        if found[0] in known:
            return known[found[0]]
        if found[2] in self.ports:
            return f"{found[1]}:<{self.ports[found[2]]}.port>"
        return f"{found[1]}:*"


def normalise(entries, names, masks=(), ordered=True):
    """The lines a log block holds: those of sessions at every level, others from warn up."""
    kept = [e for e in entries if (e.session or e.level in GRAVE) and e.level != "debug"]
    ranks = {session: rank for rank, session in enumerate(sorted({e.session for e in kept if e.session}), 1)}
    lines = []
    for entry in sorted(kept, key=lambda e: e.session):  # stable: within a session as logged
        number = "" if not entry.session else f"*{ranks[entry.session]} " if ordered else "* "
        line = f"[{entry.level}] {number}{names.apply(entry.text)}"
        for mask in masks:
            line = mask.sub("~", line)
        if entry.session or line not in lines:  # how often a process says something is a matter of timing
            lines.append(line)
    return lines if ordered else sorted(lines)
