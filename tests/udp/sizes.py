"""Datagrams of every size, whole and in order, both ways: alone and in bursts, joined by the sender and taken joined
(UDP_SEGMENT, UDP_GRO) or not, over IPv4, IPv6 and unix sockets."""
import os
import random
import socket
import tempfile

from stage import Backend, Stage, client, receive

UDP, UDP_SEGMENT, UDP_GRO = socket.IPPROTO_UDP, 103, 104
SIZES = [0, 1, 1200, 1472, 1473, 9000, 65507]
STREAM = """server {{ listen {listen} udp rcvbuf=4m; proxy_pass {backend}; proxy_socket_rcvbuf 4m; proxy_socket_sndbuf 4m;
    proxy_timeout 20s; {more} }}"""
RANDOM = random.Random(8)


def made(sizes):
    """Datagrams of these sizes, each unlike the others."""
    return [RANDOM.randbytes(size) for size in sizes]


def mixed(count):
    """Sizes as they may follow each other: runs of one size, a shorter one behind, some that are large or empty."""
    sizes = []
    while len(sizes) < count:
        sizes += [RANDOM.choice([1, 64, 512, 1200, 1400])] * RANDOM.randrange(1, 12)
        sizes += RANDOM.choice([[], [0], [RANDOM.randrange(1, 64)], [9000], [RANDOM.randrange(1, 30000)]])
    return sizes[:count]


def both_ways(one, backend, sizes):
    """What is wrong, as text, when each datagram goes there and back; None: nothing is."""
    for data in made(sizes):
        one.send(data)
        there, peer = backend.take()
        if there != data:
            return f"{len(data)} bytes there: {there and len(there)}"
        backend.send(data, peer)
        back = receive(one)
        if back != data:
            return f"{len(data)} bytes back: {back and len(back)}"
    return None


def burst(send, take, sizes):
    """The same of many that are sent without waiting; as many at once as the buffers are sure to hold."""
    for start in range(0, len(sizes), 40):
        sent = made(sizes[start:start + 40])
        for data in sent:
            send(data)
        for number, data in enumerate(sent):
            got = take()
            if got != data:
                return f"number {start + number} of {len(data)} bytes: {got and len(got)}"
    return None


def alone():
    """Each size, in a session that goes on and in sessions of one answer, over IPv4 and IPv6."""
    for host, listen in (("127.0.0.1", "127.0.0.1:{port}"), ("::1", "[::1]:{port}")):
        for more in ("", "proxy_responses 1;", "proxy_responses 1; proxy_requests 1;"):
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            backend = Backend(host, family=family)
            name = f"[{host}]:{backend.socket.getsockname()[1]}" if ":" in host else backend.name
            with Stage(STREAM.format(listen=listen, more=more, backend=name)) as stage:
                wrong = both_ways(client(stage.port, host, host), backend, SIZES)
                yield not wrong, f"{host}, {more or 'no end'}: {wrong}"


def in_bursts():
    backend = Backend()
    with Stage(STREAM.format(listen="127.0.0.1:{port}", more="", backend=backend.name)) as stage:
        one = client(stage.port)
        one.send(b"hello")
        peer = backend.take()[1]
        wrong = burst(one.send, lambda: backend.take()[0], mixed(600))
        yield not wrong, f"there: {wrong}"
        wrong = burst(lambda data: backend.send(data, peer), lambda: receive(one), mixed(600))
        yield not wrong, f"back: {wrong}"
        lost = sum(stage.counted(name) for name in ("datagrams_lost", "datagrams_overflow", "answers_overflow"))
        yield lost == 0, f"and nothing is counted as lost: {lost}"


def pieces(data, segment):
    return [data[at:at + segment] for at in range(0, len(data), segment)]


def joined():
    """Who sends many in one call, and who takes them so."""
    for segment, total in ((1200, 12000), (1200, 12001), (512, 30000), (1400, 60000)):
        for gro in (False, True):
            backend = Backend()
            with Stage(STREAM.format(listen="127.0.0.1:{port}", more="", backend=backend.name)) as stage:
                one = client(stage.port)
                one.send(b"hello")
                peer = backend.take()[1]
                for end in (one, backend.socket):
                    end.setsockopt(UDP, UDP_SEGMENT, segment)
                    end.setsockopt(UDP, UDP_GRO, gro)
                data = RANDOM.randbytes(total)
                one.send(data)
                there = taken(lambda b=backend: b.take()[0], total)
                backend.send(data, peer)
                back = taken(lambda o=one: receive(o), total)
                wanted = data if gro else pieces(data, segment)
                for way, got in (("there", there), ("back", back)):
                    same = b"".join(got) == wanted if gro else got == wanted
                    yield same, f"{total} bytes in {segment}s, taken joined: {gro}, {way}: {[len(x) for x in got]}"


def taken(take, total):
    found = []
    while sum(map(len, found)) < total and (data := take()) is not None:
        found.append(data)
    return found


def unix_peer():
    """A server of datagrams on a unix socket, by itself and among others."""
    with tempfile.TemporaryDirectory(prefix="spc-") as folder:
        os.chmod(folder, 0o777)
        first, second = Backend(path=folder + "/one"), Backend()
        group = f"upstream both {{ server {first.name}; server {second.name}; }} "
        stream = group + STREAM.format(listen="127.0.0.1:{port}", more="", backend="both")
        with Stage(stream, main="") as stage:
            one, other = client(stage.port), client(stage.port)
            one.send(b"to the first")
            data, peer = first.take()
            yield data == b"to the first" and peer, f"the unix socket has its turn, and can answer: {peer}"
            first.send(b"an answer", peer)
            yield receive(one) == b"an answer", "which it does"
            other.send(b"to the second")
            yield second.take()[0] == b"to the second", "the next client has the other server"
            wrong = both_ways(one, first, SIZES)
            yield not wrong, f"each size: {wrong}"
            wrong = burst(one.send, lambda: first.take()[0], mixed(200))
            yield not wrong, f"in bursts there: {wrong}"
            wrong = burst(lambda data: first.send(data, peer), lambda: receive(one), mixed(200))
            yield not wrong, f"and back: {wrong}"


def too_large():
    """A datagram that IPv6 has room for and IPv4 has not is lost, whole, and counted; the session goes on."""
    backend = Backend()
    with Stage(STREAM.format(listen="[::1]:{port}", more="", backend=backend.name)) as stage:
        one = client(stage.port, "::1", "::1")
        for data in (b"before", bytes(65527), b"after"):
            one.send(data)
        came = [data for data, _ in backend.take_all()]
        yield came == [b"before", b"after"], f"it is not cut: {[len(data) for data in came]}"
        lost = stage.counted("datagrams_lost")
        yield lost == 1, f"it is counted: {lost}"


CASES = [alone, in_bursts, joined, unix_peer, too_large]
