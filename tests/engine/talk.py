"""Scenarios: what a stream proxy must do, written as data (tests/<feature>/<case>.talk).

One scenario starts one server (spcd, or nginx as the peer) and plays clients and origins around it. The same text
goes to both servers; what clients and origins see and what the error log says must be as written here.

    about: the client's end of file is passed on        one sentence, required
    listen front                                        an address the server listens on
    origin a                                            a server behind the proxy, played by the engine

    stream:                                             what stands inside stream {}
        server {
            listen @front;
            proxy_pass @a;
        }

    c connects front                                    the steps, in order
    a accepts s
    c sends "hello"
    s receives "hello"
    c closes
    s receives end

    log:                                                the session lines of the error log: these and no others
        [info] *1 client <c> connected to <front>
        [info] *1 proxy <s> connected to <a>
        [info] *1 client disconnected, bytes from/to client:5/0, bytes from/to upstream:0/5

A line that starts with # is a comment. Text stands in double quotes with \\n, \\r, \\t, \\0, \\xHH, \\" and \\\\.
Sizes are bytes, or 64K, or 4M. Times are 300ms or 2s. c[1-9] repeats its line nine times: c1, c2 ... c9.
No step waits for ever: what does not happen within a few seconds is a failure.

Settings
    differs: REASON, see docs/DIFFERENCES.md            nginx and spcd need not agree (see "nginx:" below)
    only nginx|spcd                                     not for the other one
    set level LEVEL                                     level of the main error_log (info)
    set workers N                                       worker_processes (1)
    set connections N                                   worker_connections (256)
    set lines unordered                                 log lines without session numbers, sorted
    mask REGEX                                          what matches in a log line is shown as ~

Addresses: @NAME is the address, @NAME.port its port, @dir the scenario's own folder, in configurations and in texts;
@C.port is the port that the client C connected from, in texts; @C.portbytes and @NAME.portbytes are its two bytes
    listen NAME [udp] [ipv6|unix|any|ports N]           any: the port alone, all addresses; ports N: a range, NAME.0 ...
    origin NAME [udp] [ipv6|unix|any] [off|full] [says TEXT]
                                                        udp: each send is a datagram, each receive takes one whole;
                                                        who sends from a new address is accepted once  off: nobody listens; full: never accepts, backlog full;
                                                        says: takes everyone by itself, sends TEXT and closes
Blocks (indented lines under a head that ends with a colon)
    main:  stream:  stream NAME:  config:  config NAME:  file PATH:       config: a whole file instead of main and stream
    log:  log FILE:                                     expected lines: of sessions all, of processes those from warn up, once
A head or a step may be meant for one server: "nginx log:", "spcd: c receives end". Such a scenario says differs.
Without a log block, a line of level warn or graver is a failure.

Steps: clients, origins
    C connects LISTEN [at IP] [from IP] [window BYTES]  a TCP (or unix) connection; window: a small receive buffer
    C is refused by LISTEN                              connect() fails
    ORIGIN accepts S                                    and names the connection S
    ORIGIN meets nobody for TIME
    ORIGIN listens | ORIGIN stops                       from now on; stops: from now on it refuses
    ORIGIN was met N times                              since the start, counting those it took by itself
    LISTEN answers TEXT...                              one client after the other, each reading to the end
    LISTEN answers N times: TEXT=N ...                  the same, in any order

Steps: connections (a client's C or an origin's S)
    X sends TEXT|SIZE [by SIZE]                         SIZE: made-up bytes that go on where the last ones ended;
                                                        by: in pieces, each in its own segment. Does not wait.
    S sends TEXT from elsewhere|IP                      a datagram to S's other end, from a port that it has not met; or
                                                        from another address and the same port
    X has sent everything | X is held back              its bytes are all out | for 300 ms none could be sent
    X receives TEXT|SIZE [slowly]                       exactly these; SIZE: the other side's made-up bytes
    X receives end | reset | nothing for TIME
    X receives syslog TEXT TEXT                         a datagram that begins with one and has the other in it
    X receives the rest                                 made-up bytes, however many, until it ends in whatever way
    X shuts | closes | resets                           FIN and goes on reading | close() | RST

Steps: the server, files, time
    server reloads NAME                                 config or stream NAME takes the place of the first; HUP; wait
    server reloads NAME in vain                         NAME is broken: HUP, and a complaint in the log
    server is sent SIGNAL | server exits | server is running
    pid file PATH names the server
    file PATH appears | is gone | holds TEXT | lacks TEXT | moves to PATH
    log says TEXT                                       wait for a line with TEXT (normalised as in log blocks)
    wait TIME
    clock starts | clock is past TIME                   a lower bound; there are no upper ones
"""
import re

KINDS = ("nginx", "spcd")
HEAD = re.compile(r"^(?:(nginx|spcd) )?(main|stream|config|file|log)(?: (\S+))?:$")
WORD = re.compile(r'"(?:[^"\\]|\\.)*"\S*|\S+')
RANGE = re.compile(r"\[(\d+)-(\d+)\]")
ESCAPES = {"n": b"\n", "r": b"\r", "t": b"\t", "0": b"\0", '"': b'"', "\\": b"\\"}


class Failure(Exception):
    """What a scenario expected did not happen."""


class Skip(Exception):
    """The scenario is not for this server."""


class Step:
    def __init__(self, number, kind, words):
        self.number, self.kind, self.words = number, kind, words

    def __str__(self):
        return " ".join(self.words)


class Block:
    def __init__(self, number, kind, what, name):
        self.number, self.kind, self.what, self.name = number, kind, what, name
        self.lines = []
        self.end = number  # the last line of the file that belongs to it


class Scenario:
    """A .talk file, taken apart: settings, declared addresses, blocks, steps."""

    def __init__(self, path):
        self.path = path
        self.about = self.differs = self.only = None
        self.settings = {"level": "info", "workers": "1", "connections": "256", "lines": "ordered"}
        self.masks, self.listens, self.origins, self.blocks, self.steps = [], [], [], [], []
        with open(path, encoding="utf-8") as file:
            self.text = file.read().split("\n")
        self.read()
        if not self.about:
            raise Failure(f"{path}: no about: line")
        if not self.differs and any(x.kind for x in self.blocks + self.steps):
            raise Failure(f"{path}: something is for one server only, and no differs: line says why")

    def read(self):
        block = None
        for number, line in enumerate(self.text, 1):
            if block and (line[:1] in (" ", "\t") or not line):
                block.lines.append(line)
                block.end = number if line else block.end
                continue
            block = None
            if not line or line.startswith("#"):
                continue
            head = HEAD.match(line)
            if head:
                block = Block(number, *head.groups())
                self.blocks.append(block)
            elif not self.read_setting(line):
                self.read_step(number, line)
        for block in self.blocks:
            while block.lines and not block.lines[-1]:
                block.lines.pop()

    def read_setting(self, line):
        word, _, rest = line.partition(" ")
        if word in ("about:", "differs:"):
            setattr(self, word[:-1], rest)
        elif word == "only":
            self.only = rest
        elif word == "mask":
            self.masks.append(re.compile(rest))
        elif word == "set":
            key, value = rest.split()
            if key not in self.settings:
                raise Failure(f"{self.path}: no such setting: {key}")
            self.settings[key] = value
        elif word in ("listen", "origin"):
            getattr(self, word + "s").extend(WORD.findall(one) for one in spread(rest))
        else:
            return False
        return True

    def read_step(self, number, line):
        kind, colon, rest = line.partition(": ")
        if colon and kind in KINDS:
            line = rest
        else:
            kind = None
        self.steps += [Step(number, kind, WORD.findall(one)) for one in spread(line)]

    def block(self, what, name, kind):
        """The block of this name for this server, or None."""
        for block in self.blocks:
            if block.what == what and block.name == name and block.kind in (None, kind):
                return block
        return None


def spread(line):
    """One line with x[1-3] in it is three lines."""
    found = RANGE.search(line)
    if not found or '"' in line[: found.start()]:
        return [line]
    low, high = int(found[1]), int(found[2])

    def pick(offset):
        return RANGE.sub(lambda m: str(int(m[1]) + offset), line)

    return [pick(offset) for offset in range(high - low + 1)]


def text_of(word):
    """The bytes a quoted word stands for, or None if it is not quoted."""
    if not word.startswith('"'):
        return None
    out, body, at = b"", word[1:-1], 0
    while at < len(body):
        if body[at] != "\\":
            out += body[at].encode()
            at += 1
        elif body[at + 1] == "x":
            out += bytes([int(body[at + 2 : at + 4], 16)])
            at += 4
        else:
            out += ESCAPES[body[at + 1]]
            at += 2
    return out


def size_of(word):
    unit = {"K": 1 << 10, "M": 1 << 20}.get(word[-1], 1)
    return int(word.rstrip("KM")) * unit


def seconds_of(word):
    if word.endswith("ms"):
        return int(word[:-2]) / 1000
    return float(word.rstrip("s"))
