"""Upstream servers that answer late, twice, from the wrong port and from the wrong address: no client ever gets an answer
that is not its own, whether or not sockets towards the server serve one client after the other.

The system gives a port that was closed to whoever asks next, by chance one of some 28,000: so a few may show twice.
"""
import concurrent.futures
import heapq
import socket
import threading
import time

from stage import PATIENCE, Backend, Stage, client, readable, receive, wait

STREAM = """server { listen 127.0.0.1:{port} udp rcvbuf=1m; proxy_pass {backend}; proxy_responses 1; proxy_timeout 5s; }"""
WAVE, REST = 60, 1.2  # clients at once; seconds after which a server has proved itself
BY_CHANCE = 20


class Server:
    """Answers each query with the query, at once; then again after each of so many seconds, from where it is told."""

    def __init__(self, again=(), wrong=None):
        self.backend, self.again, self.wrong = Backend(), list(again), wrong
        self.met, self.due, self.ended = [], [], False
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while not self.ended:
            now = time.monotonic()
            while self.due and self.due[0][0] <= now:
                _, data, peer = heapq.heappop(self.due)
                (self.wrong or self.backend.socket).sendto(data, peer)
            if not readable(self.backend.socket, 0.005):
                continue
            data, peer = self.backend.socket.recvfrom(1 << 16)
            with self.lock:
                self.met.append(peer[1])
            for after in self.again if self.wrong else []:
                heapq.heappush(self.due, (now + after, b"false " + data, peer))
            if self.wrong:  # it comes before the true one, too
                self.wrong.sendto(b"false " + data, peer)
            self.backend.socket.sendto(data, peer)
            for after in [] if self.wrong else self.again:
                heapq.heappush(self.due, (now + after, data, peer))

    def end(self):
        self.ended = True
        self.thread.join(PATIENCE)
        self.backend.socket.close()

    def seen(self):
        """The ports that it heard from so far, in order."""
        with self.lock:
            return list(self.met)


def ask(stage, name, count=WAVE):
    """Clients that ask at once, each from a port of its own."""
    clients = [(client(stage.port), b"%s %d" % (name, i)) for i in range(count)]
    for one, query in clients:
        one.send(query)
    return clients


def wave(stage, name, count=WAVE):
    """The same, and how many of them get their own answer first."""
    clients = ask(stage, name, count)
    good = sum(receive(one) == query for one, query in clients)
    return clients, good


def false_answer(one, query):
    """What came instead of the answer, in a list."""
    answer = receive(one)
    return [] if answer == query else [answer]


def anything_else(clients):
    """What came beside the answers, a while later."""
    time.sleep(0.3)
    return [data for one, _ in clients if (data := receive(one, 0)) is not None]


def used_again():
    """Of an honest server's sockets, most serve again, once it has proved itself; by chance."""
    server = Server()
    with Stage(STREAM, backend=server.backend.name) as stage:
        _, good = wave(stage, b"first")
        first = server.seen()
        yield good == WAVE and len(set(first)) >= WAVE - BY_CHANCE, "the first have a port each"
        _, good = wave(stage, b"early")
        early = server.seen()[WAVE:]
        yield good == WAVE and len(set(early) & set(first)) <= BY_CHANCE, "a server has to prove itself before one serves again"
        time.sleep(REST)
        wave(stage, b"second")
        second = server.seen()[2 * WAVE:]
        order = [(first + early).index(port) for port in second if port in first + early]
        yield len(order) >= WAVE // 2, f"then they serve again: {len(order)} of {WAVE}"
        yield order != sorted(order), "in no order that could be foreseen"
        time.sleep(0.2)
        clients, good = wave(stage, b"third")
        third = server.seen()[3 * WAVE:]
        yield good == WAVE and set(third) & set(second), "and need less of a rest from then on"
        yield stage.counted("late_answers") == 0, "nothing came late"
    server.end()


def few(count=40):
    """Of few queries each has a port that nobody can foresee: most open one of their own."""
    server = Server()
    with Stage(STREAM, backend=server.backend.name) as stage:
        wave(stage, b"proof", 12)
        time.sleep(REST)
        for i in range(count):
            wave(stage, b"%d" % i, 1)
            time.sleep(0.06)
        seen = server.seen()[12:]
        yield len(set(seen)) >= count // 4, f"{len(set(seen))} ports for {count} queries"
        yield max(seen.count(port) for port in seen) <= count // 4, "and none has most of them"
    server.end()


def played(again, wrong=None):
    """What becomes of waves of clients: what they got beside their own answers, or instead (None: nothing); how often a
    port served again; what the log says; how many late answers were counted."""
    server = Server(again, wrong)
    with Stage(STREAM, connections=1024, backend=server.backend.name) as stage:
        everyone, other = [], []
        for turn in range(6):
            clients = ask(stage, b"turn %d" % turn)
            other += [false for one in clients for false in false_answer(*one)]
            everyone += clients
            time.sleep(REST if turn in (0, 2) else 0.08)
        other += anything_else(everyone)
        time.sleep(max(again, default=0))
        other += anything_else(everyone)
        said = stage.log("answers late or more than once")
        late = stage.counted("late_answers")
    server.end()
    return other, len(server.seen()) - len(set(server.seen())), said, late


TWICE = {"at once": [0], "soon": [0.02], "later than a rest": [0.07], "much later": [0.4],
         "near the end of its proof": [0.9], "three times": [0, 0.1, 0.5]}


def played_well(again):
    """A port that was closed, and that the system gave again just when the second answer came, does not show twice."""
    result = played(again)
    return played(again) if result[0] else result


def late_and_twice():
    """The second answer comes at once, before a socket has rested, and long after."""
    with concurrent.futures.ThreadPoolExecutor(len(TWICE)) as pool:
        results = list(pool.map(played_well, TWICE.values()))
    for name, (other, used, said, late) in zip(TWICE, results):
        yield not other, f"twice, {name}: everyone has its own answer and nothing else: {other[:3]}"
        yield used <= BY_CHANCE, f"twice, {name}: no socket is used twice: {used}"
        yield len(said) == 1 and late >= 1, f"twice, {name}: it is counted ({late}) and said once: {said}"


def from_elsewhere():
    """False answers come from another port, and from another address and the same port."""
    port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    port.bind(("127.0.0.1", 0))
    other, used, said, late = played([0.01, 0.1], port)
    yield not other and not said and not late, f"another port: nobody hears it: {other[:3]} {said} {late}"
    yield used > 3 * BY_CHANCE, f"and the true server is trusted: {used}"
    port.close()
    for _ in range(20):  # a port that the other address has free too
        address = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server = Server([0.01, 0.1], address)
        try:
            address.bind(("127.0.0.9", server.backend.socket.getsockname()[1]))
            break
        except OSError:
            address.close()
            server.end()
    with Stage(STREAM, backend=server.backend.name) as stage:
        clients, good = wave(stage, b"query")
        yield good == WAVE and not anything_else(clients), "another address, the same port: nobody hears it"
        yield stage.counted("late_answers") == 0, "nor does the system let it through"
    server.end()


def turned():
    """A server that had proved itself, and answers twice from then on."""
    server = Server()
    with Stage(STREAM, connections=1024, backend=server.backend.name) as stage:
        wave(stage, b"first")
        time.sleep(REST)
        wave(stage, b"second")
        before = server.seen()
        yield len(before) - len(set(before)) > BY_CHANCE, "its sockets are used again"
        server.again.append(0)
        clients, good = wave(stage, b"twice")
        other = anything_else(clients)
        yield good == WAVE and not other, f"everyone has its own answer: {other[:3]}"
        ports = server.seen()
        yield wait(lambda: stage.log("answers late or more than once")), "the log says that it answers twice"
        clients, good = wave(stage, b"after")
        other = anything_else(clients)
        yield good == WAVE and not other, f"and afterwards: {other[:3]}"
        after = server.seen()[len(ports):]
        yield len(set(after) & set(ports)) <= BY_CHANCE, "no socket that it knows is used again"
        yield len(stage.log("answers late or more than once")) == 1, "which is said once"
        yield stage.counted("late_answers") >= 1, "and counted"
    server.end()


CASES = [used_again, few, late_and_twice, from_elsewhere, turned]
