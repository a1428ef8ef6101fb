"""Play one scenario against one server: every step of talk.py's list is one method here."""
import difflib
import os
import re
import shutil
import signal
import socket
import tempfile
import time

import logs
from server import Server
from talk import Failure, Skip, seconds_of, size_of, text_of
from wire import BLOCK, PATIENCE, Address, Datagrams, Origin, Ports, UdpOrigin, Wire, pattern

PLACE = re.compile(r"@([a-z]\w*(?:\.\d+)?)(\.port(?:bytes)?)?")
WATCHDOG = 60
SIP = 16 * 1024  # what a slow reader reads at a time


def port_text(number, place):
    """What stands for @NAME.port, or for the two bytes of @NAME.portbytes."""
    return f"\\x{number >> 8:02x}\\x{number & 255:02x}" if place == ".portbytes" else str(number)


class Play:
    def __init__(self, scenario, kind, tools):
        self.scenario, self.kind = scenario, kind
        self.folder = tempfile.mkdtemp(prefix="spc-")
        os.chmod(self.folder, 0o755)
        self.server = Server(kind, self.folder, tools)
        self.names = logs.Names(self.folder)
        self.wire, self.ports, self.addresses = Wire(), Ports(), {}
        self.clock = time.monotonic()
        self.log_lines = {}  # file: its lines, normalised

    # -- before the first step

    def address(self, name, words):
        udp = "udp" in words
        if "unix" in words:
            return Address(name, socket.AF_UNIX, None, None, path=f"{self.folder}/{name}.sock", udp=udp)
        family, host = (socket.AF_INET6, "::1") if "ipv6" in words else (socket.AF_INET, "127.0.0.1")
        if "ports" in words:
            return self.range(name, int(words[words.index("ports") + 1]))
        port = self.ports.take()
        if "any" in words:
            return Address(name, family, "::" if "ipv6" in words else "0.0.0.0", port, udp=udp)
        return Address(name, family, host, port, udp=udp)

    def range(self, name, count):
        first = self.ports.take(count)
        for index in range(count):
            one = Address(f"{name}.{index}", socket.AF_INET, "127.0.0.1", first + index)
            self.addresses[one.name] = one
            self.names.add_address(one)
        return Address(name, socket.AF_INET, "127.0.0.1", first, text=f"127.0.0.1:{first}-{first + count - 1}")

    def declare(self):
        for name, *words in self.scenario.listens + self.scenario.origins:
            address = self.addresses[name] = self.address(name, words)
            if "ports" not in words:
                self.names.add_address(address)
        for name, *words in self.scenario.origins:
            state = next((word for word in words if word in ("off", "full")), "on")
            says = text_of(words[words.index("says") + 1]) if "says" in words else None
            address = self.addresses[name]
            self.wire.origins[name] = UdpOrigin(address, state) if address.udp else Origin(address, state, says)

    def filled(self, lines):
        """A block's text with the places filled in, less the common indent."""
        indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
        return PLACE.sub(self.place_of, "\n".join(line[indent:] for line in lines)) + "\n"

    def place_of(self, found):
        name, port = found.groups()
        if name == "dir":
            return self.folder
        address = self.addresses.get(name)
        if port and name in self.wire.connections:
            number = self.wire.connections[name].sock.getsockname()[1]
            return port_text(number, port)
        if not address:
            raise Failure(f"{found[0]} is not declared")
        return port_text(address.port, port) if port or address.host == "0.0.0.0" else address.text

    def config(self, name=None):
        whole = self.scenario.block("config", name, self.kind)
        if whole:
            return self.filled(whole.lines)
        stream = self.scenario.block("stream", name, self.kind)
        if not stream:
            raise Failure(f"no configuration {name or ''}")
        main = self.scenario.block("main", None, self.kind)
        return self.server.whole_config(
            self.filled(main.lines) if main else "", self.filled(stream.lines), self.scenario.settings
        )

    def write_files(self):
        for block in self.scenario.blocks:
            if block.what == "file" and block.kind in (None, self.kind):
                path = os.path.join(self.folder, block.name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w", encoding="utf-8") as file:
                    file.write(self.filled(block.lines))

    # -- the run

    def run(self):
        """The transcript; raises Failure."""
        if self.scenario.only not in (None, self.kind):
            raise Skip
        signal.signal(signal.SIGALRM, self.out_of_time)
        signal.alarm(WATCHDOG)
        try:
            self.declare()
            self.write_files()
            if not self.server.place(self.config()):
                raise Failure(f"spcc refuses the configuration:\n{self.server.complaint}")
            self.server.start()
            for step in self.scenario.steps:
                if step.kind in (None, self.kind):
                    self.take(step)
            self.wire.finish()
            self.server.end()
            self.check_logs()
            return self.transcript()
        finally:
            signal.alarm(0)
            self.server.kill()
            if not os.environ.get("KEEP"):
                shutil.rmtree(self.folder, ignore_errors=True)

    def out_of_time(self, *_):
        raise Failure(f"not done after {WATCHDOG} seconds")

    def take(self, step):
        words = [PLACE.sub(self.place_of, word) if word[0] == '"' else word for word in step.words]
        subject, verb, *rest = words + [""] * (2 - len(words))
        try:
            if subject in PLAIN:
                PLAIN[subject](self, words[1:])
            elif subject == "clock" and verb == "starts":
                self.clock = time.monotonic()
            elif verb in VERBS:
                VERBS[verb](self, subject, rest)
            else:
                raise Failure("no such step")
        except Failure as failure:
            raise Failure(f"{self.scenario.path}:{step.number}: {step}: {failure}{self.log_tail()}") from None
        except (OSError, ValueError, IndexError, KeyError) as error:
            raise Failure(f"{self.scenario.path}:{step.number}: {step}: {error!r}{self.log_tail()}") from error

    def log_tail(self):
        lines = (self.server.read("error.log") + self.server.read("stderr")).split("\n")[-13:]
        return "".join(f"\n    | {line}" for line in lines if line)

    def connection(self, name):
        if name not in self.wire.connections:
            raise Failure(f"there is no connection {name}")
        return self.wire.connections[name]

    def listen(self, name):
        if name not in self.addresses:
            raise Failure(f"there is no address {name}")
        return self.addresses[name]

    # -- steps: clients and origins

    def connects(self, name, rest):
        options = dict(zip(rest[1::2], rest[2::2]))
        window = size_of(options["window"]) if "window" in options else 0
        one = self.wire.connect(name, self.listen(rest[0]), options.get("at"), options.get("from"), window)
        self.names.add_client_side(name, one.sock, peer=False)

    def accepts(self, name, rest):
        self.wire.accept(self.wire.origins[name], rest[0])
        one = self.connection(rest[0])
        if isinstance(one, Datagrams):
            self.names.add_peer(rest[0], one.peer)
        else:
            self.names.add_client_side(rest[0], one.sock, peer=True)

    def meets(self, name, rest):
        if rest[:2] != ["nobody", "for"]:
            raise Failure("meets nobody for TIME")
        origin = self.wire.origins[name]
        if self.wire.pump(origin.accept, seconds_of(rest[2])):
            raise Failure("somebody came")

    def listens(self, name, _):
        self.wire.origins[name].listen()

    def stops(self, name, _):
        self.wire.origins[name].stop()

    def was(self, name, rest):
        origin, times = self.wire.origins[name], int(rest[1])
        if rest[0] != "met" or not self.wire.pump(lambda: origin.met >= times) or origin.met != times:
            raise Failure(f"was met {origin.met} times")

    def answers(self, name, rest):
        if rest[1:2] == ["times:"]:
            self.answers_counted(name, int(rest[0]), rest[2:])
            return
        seen = [self.answer_of(name) for _ in rest]
        if seen != [text_of(word) for word in rest]:
            raise Failure("answered " + " ".join(repr(one.decode(errors="replace")) for one in seen))

    def answers_counted(self, name, times, words):
        wanted = {text_of(text): int(count) for text, count in (word.rsplit("=", 1) for word in words)}
        seen = {}
        for _ in range(times):
            answer = self.answer_of(name)
            seen[answer] = seen.get(answer, 0) + 1
        if seen != wanted:
            raise Failure(f"answered {seen}")

    def answer_of(self, name):
        one = self.wire.connect(None, self.listen(name), None, None, 0)
        try:
            return self.wire.read_all(one)
        finally:
            one.sock.close()

    # -- steps: connections

    def sends(self, name, rest):
        one, data = self.connection(name), text_of(rest[0])
        if rest[1:2] == ["from"]:
            with socket.socket(one.sock.family, socket.SOCK_DGRAM) as stranger:
                if rest[2] != "elsewhere":
                    stranger.bind((rest[2], one.sock.getsockname()[1]))
                stranger.sendto(data, one.peer)
            return
        by = size_of(rest[2]) if rest[1:2] == ["by"] else 0
        if data is not None:
            pieces = [data[at : at + by] for at in range(0, len(data), by)] if by else [data]
        else:
            size = size_of(rest[0])
            pieces = [(one.made + at, min(by or size, size - at)) for at in range(0, size, by or size)]
            one.made += size
        for piece in pieces:
            one.queue.append(piece)
            if by:
                self.wire.pump(lambda: not one.queue)
                time.sleep(0.001)
        one.send_some()

    def has(self, name, rest):
        one = self.connection(name)
        if rest != ["sent", "everything"]:
            raise Failure("has sent everything")
        if not self.wire.pump(lambda: not one.queue):
            raise Failure("cannot send")

    def receives(self, name, rest):
        one, what = self.connection(name), rest[0]
        if isinstance(one, Datagrams):
            self.receives_datagram(one, rest)
        elif what in ("end", "reset"):
            self.receives_ending(one, what)
        elif what == "nothing":
            self.receives_nothing(one, seconds_of(rest[2]))
        elif what == "the":
            self.receives_rest(one)
        elif text_of(what) is not None:
            self.receives_text(one, text_of(what))
        else:
            self.receives_made_up(one, size_of(what), "slowly" in rest)

    def receives_datagram(self, one, rest):
        """The next one, whole; its text, or its made-up bytes."""
        seen = []
        quiet = rest[0] == "nothing"
        self.wire.pump(lambda: seen or seen.extend([] if (data := one.take()) is None else [data]) or seen,
                       seconds_of(rest[2]) if quiet else PATIENCE)
        if quiet or not seen:
            if bool(seen) == quiet:
                raise Failure(f"received {seen[0][:200]!r}" if seen else "received nothing")
            return
        if rest[0] == "syslog":
            begins, holds = (text_of(word) for word in rest[1:])
            if not seen[0].startswith(begins) or holds not in seen[0]:
                raise Failure(f"received {seen[0]!r}")
            return
        wanted = text_of(rest[0])
        if wanted is None:
            wanted = pattern(one.checked, size_of(rest[0]))
            one.checked += len(wanted)
        if seen[0] != wanted:
            raise Failure(f"received {seen[0][:200]!r}, {len(seen[0])} bytes")

    def receives_ending(self, one, what):
        seen = self.wire.read_all(one)
        if seen:
            raise Failure(f"received {seen[:200]!r} ({len(seen)} bytes), then {one.ended}")
        if one.ended != what:
            raise Failure(f"received {one.ended}")

    def receives_nothing(self, one, seconds):
        data = bytearray()
        self.wire.pump(lambda: data or one.ended, seconds, (one, data.extend))
        if data or one.ended:
            raise Failure(f"received {bytes(data[:200])!r} {one.ended or ''}")

    def receives_text(self, one, wanted):
        data = bytearray()
        self.wire.pump(
            lambda: len(data) >= len(wanted) or one.ended,
            reading=(one, data.extend),
            limit=lambda: len(wanted) - len(data),
        )
        if data != wanted:
            raise Failure(f"received {bytes(data[:200])!r}, then {one.ended or 'nothing'}")

    def receives_made_up(self, one, size, slowly):
        goal, most = one.checked + size, SIP if slowly else BLOCK
        while one.checked < goal and not one.ended:
            before = one.checked
            if not self.wire.pump(
                lambda: one.checked > before or one.ended,
                reading=(one, one.compare),
                limit=lambda: min(most, goal - one.checked),
            ):
                break
            if slowly:
                time.sleep(0.001)
        if one.checked < goal:
            raise Failure(f"received {size - goal + one.checked} bytes, then {one.ended or 'nothing'}")

    def receives_rest(self, one):
        one.vague = True
        if not self.wire.pump(lambda: one.ended, reading=(one, one.compare)):
            raise Failure("no end")

    def shuts(self, name, _):
        one = self.connection(name)
        self.flush(one)
        one.sock.shutdown(socket.SHUT_WR)

    def closes(self, name, _):
        one = self.connection(name)
        self.flush(one)
        one.sock.close()

    def resets(self, name, _):
        self.connection(name).reset()

    def flush(self, one):
        if not self.wire.pump(lambda: not one.queue):
            raise Failure("its bytes do not go out")

    # -- steps: the server, files, time

    def is_(self, name, rest):
        if name == "server" and rest[:1] == ["sent"]:
            self.server.signal(rest[1])
        elif name == "server" and rest == ["running"]:
            if self.server.process.poll() is not None:
                raise Failure("it is not")
        elif rest[:2] == ["refused", "by"]:
            self.is_refused(rest[2])
        elif rest == ["held", "back"]:
            self.is_held_back(self.connection(name))
        elif name == "clock" and rest[:1] == ["past"]:
            if time.monotonic() - self.clock < seconds_of(rest[1]):
                raise Failure(f"only {time.monotonic() - self.clock:.3f} s")
        else:
            raise Failure("no such step")

    def is_refused(self, name):
        try:
            self.wire.connect(None, self.listen(name), None, None, 0).sock.close()
        except (ConnectionRefusedError, FileNotFoundError):
            return
        raise Failure("was let in")

    def is_held_back(self, one):
        """While it still sends, wait; once nothing has gone out for 300 ms although there is something, good."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            before = list(one.queue)
            self.wire.pump(lambda: not one.queue, 0.3)
            if one.queue and one.queue == before:
                return
            if not one.queue:
                raise Failure("everything went out")
        raise Failure("it sends on and on")

    def reloads(self, _, rest):
        self.server.reload(self.config(rest[0]), rest[1:] == ["in", "vain"])

    def exits(self, _, __):
        if not self.server.wait(lambda: self.server.process.poll() is not None):
            raise Failure("it does not")
        if self.server.process.returncode:
            raise Failure(f"with status {self.server.process.returncode}")

    def file(self, words):
        path, verb, argument = words[:3] if len(words) > 2 else words + [""]
        full = os.path.join(self.folder, path)
        if verb == "moves":
            os.rename(full, os.path.join(self.folder, words[3]))
        elif verb == "appears":
            self.must(lambda: os.path.exists(full), "it does not")
        elif verb == "is" and argument == "gone":
            self.must(lambda: not os.path.exists(full), "it is there")
        elif verb in ("holds", "lacks"):
            text = text_of(argument).decode()
            self.must(lambda: (text in self.names.apply(self.server.read(path))) == (verb == "holds"), "no")
        else:
            raise Failure("no such step")

    def pid(self, words):
        said = self.server.read(words[1])
        if said != f"{self.server.process.pid}\n":
            raise Failure(f"it says {said!r}, the server is {self.server.process.pid}")

    def log_says(self, words):
        text = text_of(words[1]).decode()
        self.must(lambda: text in self.names.apply(self.server.read("error.log")), "it does not")

    def must(self, condition, complaint):
        if not self.wire.pump(condition):
            raise Failure(complaint)

    def wait(self, words):
        self.wire.pump(lambda: False, seconds_of(words[0]))

    # -- after the last step

    def check_logs(self):
        blocks = {}
        for block in self.scenario.blocks:
            if block.what == "log" and block.kind in (None, self.kind):
                blocks[block.name or "error.log"] = block
        self.log_lines = {name: self.log_of(name) for name in dict.fromkeys(["error.log", *blocks])}
        for name, lines in self.log_lines.items():
            if name not in blocks:
                wanted = [line for line in lines if line[1 : line.index("]")] not in logs.GRAVE]
            else:
                wanted = [line.strip() for line in blocks[name].lines]
            if lines != wanted:
                diff = "\n".join(difflib.unified_diff(wanted, lines, "expected", "seen", lineterm="", n=1))
                raise LogFailure(self.log_lines, f"{self.scenario.path}: {name}:\n{diff}")

    def log_of(self, name):
        """All of a log, what was rotated away included."""
        text = self.server.read(name + ".1") + self.server.read(name)
        ordered = self.scenario.settings["lines"] == "ordered"
        if text and not logs.LINE.match(text.split("\n")[0]) and not name.startswith("error"):
            return self.plain(text)
        entries = logs.parse(text)
        if any("vain" in step.words for step in self.scenario.steps):
            entries = [entry for entry in entries if entry.session or entry.level != "emerg"]  # that it is broken
        return logs.normalise(entries, self.names, self.scenario.masks, ordered)

    def plain(self, text):
        """An access log: its lines as they are, but for addresses and what is masked."""
        lines = [self.names.apply(line) for line in text.rstrip("\n").split("\n")]
        for mask in self.scenario.masks:
            lines = [mask.sub("~", line) for line in lines]
        return lines

    def transcript(self):
        """What a client, an origin and the log saw, so that two servers can be compared."""
        lines = [one.transcript() for one in self.wire.connections.values()]
        lines += [f"{name}: met {origin.met}" for name, origin in self.wire.origins.items()]
        for name, log in self.log_lines.items():
            lines += [f"{name}: {line}" for line in log]
        return lines


class LogFailure(Failure):
    def __init__(self, log_lines, message):
        super().__init__(message)
        self.log_lines = log_lines


# A step is "SUBJECT VERB ...", or begins with one of the words of PLAIN.
VERBS = {
    verb: getattr(Play, method)
    for verb, method in {
        "connects": "connects", "accepts": "accepts", "meets": "meets", "listens": "listens", "stops": "stops",
        "was": "was", "answers": "answers", "sends": "sends", "has": "has", "receives": "receives", "shuts": "shuts",
        "closes": "closes", "resets": "resets", "is": "is_", "reloads": "reloads", "exits": "exits",
    }.items()
}
PLAIN = {"file": Play.file, "pid": Play.pid, "log": Play.log_says, "wait": Play.wait}
