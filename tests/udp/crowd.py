"""More clients than there is room for, and more datagrams: who loses, that it is counted and logged, and that whoever is
left is served. What the system dropped before anybody saw it counts too: these machines may be slow."""
import os
import tempfile
import time

from stage import Backend, Stage, client, receive, wait


def seconds_of(lines):
    """At most one line a second: the seconds they are of, and one more for a clock that turned meanwhile."""
    return {line[:19] for line in lines}


def of_one_address():
    """limit_conn by $binary_remote_addr: sessions of one address, whatever its ports."""
    backend = Backend()
    stream = """limit_conn_zone $binary_remote_addr zone=each:1m;
        server { listen 127.0.0.1:{port} udp; proxy_pass {backend}; proxy_responses 1; proxy_timeout 20s; limit_conn each 5; }"""
    with Stage(stream, workers=2, backend=backend.name) as stage:
        clients = [client(stage.port) for _ in range(200)]
        began = time.monotonic()
        for one in clients:
            one.send(b"query")
        there = backend.take_all()
        lasted = time.monotonic() - began
        yield len(there) == 5, f"5 of 200 ports of one address have a session: {len(there)}"
        other = [client(stage.port, "127.0.0.2") for _ in range(6)]
        for one in other:
            one.send(b"other")
        more = backend.take_all()
        yield len(more) == 5 and {data for data, _ in more} == {b"other"}, f"another address has its own five: {more}"
        for _, peer in there[:3]:
            backend.send(b"answer", peer)
        answered = [one for one in clients if receive(one, 0.01)]
        yield len(answered) == 3, "three of them get their answers"
        for one in clients[:50]:
            one.send(b"again")
        again = [data for data, _ in backend.take_all()]
        mine = sum(1 for one in clients[:50] if one not in answered)
        yield mine >= 45 and len(again) >= 3, f"then three more may come, {len(again)} datagrams do"
        said = stage.log("limiting connections by zone")
        yield 1 <= len(said) <= lasted + 3, f"said once a second at most: {len(said)} lines"
        yield stage.counted("limited") >= 196, "and the others are counted"


def newest_loses():
    """max_conns without evict_oldest."""
    backend = Backend()
    stream = """server { listen 127.0.0.1:{port} udp max_conns=50; proxy_pass {backend}; proxy_timeout 20s; }"""
    with Stage(stream, workers=2, backend=backend.name) as stage:
        first = [client(stage.port) for _ in range(50)]
        for one in first:
            one.send(b"first")
        there = backend.take_all()
        yield len(there) == 50, f"fifty have sessions: {len(there)}"
        began = time.monotonic()
        for _ in range(500):
            one = client(stage.port)
            one.send(b"flood")
            one.close()
        yield backend.take_all() == [], "of a flood nobody comes through"
        lasted = time.monotonic() - began
        for one in first:
            one.send(b"more")
        yield len(backend.take_all()) == 50, "those who were first still have theirs"
        for _, peer in there:
            backend.send(b"answer", peer)
        yield all(receive(one) == b"answer" for one in first), "both ways"
        said = stage.log("has its max_conns=50 sessions, a new client is refused")
        yield 1 <= len(said) <= 2 * (lasted + 2), f"each worker says so once a second at most: {len(said)} lines"
        lost = stage.counted("limited") + stage.counted("datagrams_overflow")
        yield lost == 500, f"all of the flood is counted: {lost}"


def no_session_left():
    """worker_connections used up, without evict_oldest."""
    backend = Backend()
    stream = "server { listen 127.0.0.1:{port} udp; proxy_pass {backend}; proxy_timeout 20s; }"
    with Stage(stream, connections=20, backend=backend.name) as stage:
        first = [client(stage.port) for _ in range(20)]
        for one in first:
            one.send(b"first")
        there = backend.take_all()
        for _ in range(300):
            one = client(stage.port)
            one.send(b"flood")
            one.close()
        yield len(there) == 20 and backend.take_all() == [], "twenty have sessions, nobody else"
        for _, peer in there:
            backend.send(b"answer", peer)
        yield all(receive(one) == b"answer" for one in first), "and they are served"
        said = stage.log("20 worker_connections are not enough")
        yield 1 <= len(said) <= len(seconds_of(said)) + 1, f"said once a second: {len(said)} lines"
        lost = stage.counted("refused") + stage.counted("datagrams_overflow")
        yield lost == 300, f"and counted: {lost}"


def oldest_loses():
    """evict_oldest: a flood takes the places of those who are idle, oldest first, and of nobody who is not."""
    backend = Backend()
    stream = """server { listen 127.0.0.1:{port} udp max_conns=30 evict_oldest; proxy_pass {backend}; proxy_timeout 20s; }"""
    with Stage(stream, backend=backend.name) as stage:
        idle = [client(stage.port) for _ in range(10)]
        for one in idle:
            one.send(b"idle")
        busy = [client(stage.port) for _ in range(20)]
        for one in busy:
            one.send(b"busy")
        there = backend.take_all()
        yield len(there) == 30, f"thirty have sessions: {len(there)}"
        time.sleep(1.2)
        for one in busy:
            one.send(b"still busy")
        backend.take_all()
        flood = [client(stage.port) for _ in range(200)]
        for one in flood:
            one.send(b"flood")
        came = backend.take_all()
        yield len(came) == 10, f"ten of the flood take the places of the ten who were idle: {len(came)}"
        for data, peer in there:
            backend.send(data, peer)
        yield all(receive(one) == b"busy" for one in busy), "who was busy keeps its session"
        yield not any(receive(one, 0.01) for one in idle), "who was idle has none"
        said = stage.log("the one idle for longest ends")
        yield 1 <= len(said) <= len(seconds_of(said)) + 1, f"said once a second: {len(said)} lines"
        evicted, limited = stage.counted("evicted"), stage.counted("limited") + stage.counted("datagrams_overflow")
        yield (evicted, limited) == (10, 190), f"and counted: {evicted} evicted, {limited} refused"


def capped_client_takes_no_place():
    """A client that limit_conn refuses ends nobody's session, however often it comes."""
    backend = Backend()
    stream = """limit_conn_zone $binary_remote_addr zone=each:1m;
        server { listen 127.0.0.1:{port} udp rcvbuf=1m max_conns=20 evict_oldest; proxy_pass {backend}; proxy_timeout 20s;
            limit_conn each 5; }"""
    with Stage(stream, backend=backend.name) as stage:
        idle = [client(stage.port, f"127.0.1.{number}") for number in range(1, 21)]
        for one in idle:
            one.send(b"idle")
        there = backend.take_all()
        yield len(there) == 20, f"twenty have sessions: {len(there)}"
        time.sleep(1.2)
        flood = [client(stage.port) for _ in range(200)]
        for one in flood:
            one.send(b"flood")
        came = backend.take_all()
        for data, peer in there:
            backend.send(data, peer)
        left = sum(receive(one, 0.05) == b"idle" for one in idle)
        yield (len(came), left) == (5, 15), f"five come in, and five of twenty had to go: {len(came)}, {20 - left}"
        yield stage.counted("evicted") == 5, "which is counted"


def by_rate():
    """limit_conn_rate is logged once a second, too."""
    backend = Backend()
    stream = """limit_conn_rate_zone $binary_remote_addr zone=each:1m rate=1r/m;
        server { listen 127.0.0.1:{port} udp rcvbuf=1m; proxy_pass {backend}; limit_conn_rate zone=each burst=2; }"""
    with Stage(stream, backend=backend.name) as stage:
        for _ in range(100):
            one = client(stage.port)
            one.send(b"flood")
            one.close()
        came = backend.take_all()
        said = stage.log("limiting new connections by zone")
        yield len(came) == 3, f"three of a hundred: {len(came)}"
        yield 1 <= len(said) <= len(seconds_of(said)) + 1, f"said once a second: {len(said)} lines"
        lost = stage.counted("paced") + stage.counted("datagrams_overflow")
        yield lost == 97, f"and counted: {lost}"


def no_descriptors():
    """No socket can be had any more: new clients are dropped, and those who are there go on."""
    backend = Backend()
    stream = "server { listen 127.0.0.1:{port} udp; proxy_pass {backend}; proxy_timeout 20s; }"
    with Stage(stream, connections=2000, main="worker_rlimit_nofile 80;", backend=backend.name) as stage:
        clients = [client(stage.port) for _ in range(300)]
        for one in clients:
            one.send(b"query")
        there = backend.take_all()
        yield 20 < len(there) < 80, f"as many have sessions as there are descriptors: {len(there)}"
        for _, peer in there:
            backend.send(b"answer", peer)
        served = sum(1 for one in clients if receive(one, 0.02))
        yield served == len(there), f"and they are served: {served}"
        said = stage.log("socket() failed (24:")
        yield 1 <= len(said) <= len(seconds_of(said)) + 1, f"said once a second: {len(said)} lines"
        lost = stage.counted("internal") + stage.counted("datagrams_overflow")
        yield lost == 300 - len(there), f"and counted: {lost}"


def receive_buffer():
    """What the system drops because a listener's buffer is full is counted to the last one, across a reload too."""
    backend = Backend()
    stream = "server { listen 127.0.0.1:{port} udp rcvbuf=8k; proxy_pass {backend}; proxy_timeout 20s; }"
    with Stage(stream, backend=backend.name, main="master_process off;") as stage:
        one, passed, sent = client(stage.port), 0, 0
        for turn in range(3):
            if turn == 2:
                stage.reload(stream)
            stage.server.signal("STOP")
            wait(lambda: state_of(stage.server.process.pid) == "T")
            for _ in range(400):
                one.send(bytes(1000))
            sent += 400
            stage.server.signal("CONT")
            passed += len(backend.take_all())
        one.send(b"last")
        passed, sent = passed + len(backend.take_all()), sent + 1
        said = stage.log("whose receive buffer was full")
        yield passed < sent - 600, f"most are lost: {sent} sent, {passed} passed"
        yield len(said) >= 1 and f"for 127.0.0.1:{stage.port}, whose" in said[0], f"the log says so: {said}"
        lost = stage.counted("datagrams_overflow")
        yield lost == sent - passed, f"and counted to the last one: {lost} of {sent - passed} {stage.server.read('stderr')}"


def answers_buffer():
    """The same of an upstream server's answers."""
    backend = Backend()
    stream = "server { listen 127.0.0.1:{port} udp; proxy_pass {backend}; proxy_socket_rcvbuf 8k; proxy_timeout 20s; }"
    with Stage(stream, backend=backend.name, main="master_process off;") as stage:
        one = client(stage.port)
        one.send(b"query")
        peer = backend.take()[1]
        stage.server.signal("STOP")
        wait(lambda: state_of(stage.server.process.pid) == "T")
        for _ in range(400):
            backend.send(bytes(1000), peer)
        stage.server.signal("CONT")
        got = 0
        while receive(one, 0.3):
            got += 1
        lost = stage.counted("answers_overflow")
        yield got < 100 and lost == 400 - got, f"{got} of 400 came, {lost} are counted as lost"


def peer_hangs():
    """A unix socket that nobody reads from takes no more than its queue: what is behind it waits, or is lost and counted,
    and nobody else waits for it."""
    with tempfile.TemporaryDirectory(prefix="spc-") as folder:
        os.chmod(folder, 0o777)
        hung, good = Backend(path=folder + "/hung"), Backend()
        stream = """server { listen 127.0.0.1:{port} udp; proxy_pass {hung}; proxy_timeout 20s; }
            server { listen 127.0.0.2:{port} udp; proxy_pass {good}; proxy_timeout 20s; }"""
        with Stage(stream, hung=hung.name, good=good.name) as stage:
            one, other = client(stage.port), client(stage.port, host="127.0.0.2")
            for number in range(200):
                one.send(b"%d" % number)
            answered = 0
            for number in range(200):
                other.send(b"query")
                data, peer = good.take(1)
                if peer:
                    good.send(data, peer)
                answered += receive(other, 1) == b"query"
            yield answered == 200, f"the others are served meanwhile: {answered} of 200"
            came = [int(data) for data, _ in hung.take_all()]
            yield came == list(range(len(came))) and 20 <= len(came) < 200, f"it finds the first ones, in order: {came}"
            one.send(b"now")
            yield hung.take()[0] == b"now", "and whatever is sent from then on"
            lost = stage.counted("datagrams_lost")
            yield lost == 200 - len(came), f"the rest is counted: {lost}"


def refused_together():
    """Of two datagrams that go out together to where nobody is, the second meets the error of the first; the session
    learns of it even so."""
    backend = Backend()
    backend.socket.close()
    stream = "server { listen 127.0.0.1:{port} udp; proxy_pass {backend}; proxy_timeout 20s; }"
    for count in (1, 2, 3, 4):
        with Stage(stream, backend=backend.name, main="master_process off;") as stage:
            one = client(stage.port)
            stage.server.signal("STOP")
            wait(lambda: state_of(stage.server.process.pid) == "T")
            for number in range(count):
                one.send(bytes(10 + number))
            stage.server.signal("CONT")
            said = wait(lambda: stage.log("recv() failed (111: Connection refused)"))
            yield said, f"of {count}: {stage.log('udp')}"


def full_queue():
    """What waits to be sent together is 64 pieces, and the last one is joined by the next datagram to the same socket."""
    backend = Backend()
    stream = "server { listen 127.0.0.1:{port} udp; proxy_pass {backend}; proxy_timeout 20s; }"
    with Stage(stream, backend=backend.name, main="master_process off;") as stage:
        clients = [client(stage.port) for _ in range(64)]
        stage.server.signal("STOP")
        wait(lambda: state_of(stage.server.process.pid) == "T")
        for one in clients + clients[-1:] * 3:
            one.send(b"at once")
        stage.server.signal("CONT")
        there = backend.take_all()
        yield len(there) == 67, f"all datagrams pass: {len(there)} of 67"
        lost = stage.counted("datagrams_lost")
        yield lost == 0, f"none is counted as lost: {lost}"


def state_of(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return file.read().rsplit(") ", 1)[1][0]


CASES = [of_one_address, newest_loses, no_session_left, oldest_loses, capped_client_takes_no_place, by_rate,
         no_descriptors, receive_buffer, answers_buffer,
         peer_hangs, refused_together, full_queue]
