#!/usr/bin/python3
"""What wears a proxy out, each for a bounded time: limits of rate, slow and silent peers, floods, descriptors and ports
that are used up, idle sessions by the hundred thousand. Meanwhile a session beside them has to work, and memory has to
stay within what was promised.

    tests/soak/run.py [--short] [CASE...]       --short: what make check has time for; last line: "N passed, N failed"
"""
import argparse
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [ROOT + "/tests/engine", HERE]
sys.dont_write_bytecode = True

import peers  # noqa: E402
import held  # noqa: E402
from peers import Origin, connect, echoes  # noqa: E402
from server import Server  # noqa: E402

BUILD = os.path.join(ROOT, os.environ.get("SPCD_BUILD", "build"))
SANITIZED = "san" in BUILD
BUFFER = 16 * 1024
FIRST = 7000  # the network is ours alone


class Soak:
    """An spcd with a probe beside what is tried."""

    def __init__(self, folder, stream, connections=1024, prelude="", workers=1):
        self.echo = Origin("echo")
        self.server = Server("spcd", folder, {name: f"{BUILD}/{name}" for name in ("spcc", "spcd")})
        probe = f"server {{ listen {FIRST}; proxy_pass 127.0.0.1:{self.echo.port}; access_log off; }}"
        text = self.server.whole_config("master_process off;\n" + prelude,
                                        f"log_format soak '$close_reason $status';\naccess_log access.log soak;\n"
                                        f"{probe}\n{stream.replace('{echo}', str(self.echo.port))}",
                                        {"workers": str(workers), "connections": connections, "level": "warn"})
        assert self.server.place(text), self.server.complaint

    def __enter__(self):
        self.server.start()
        assert self.probe()
        self.before = self.memory()
        return self

    def __exit__(self, *_):
        self.server.end()
        self.echo.end()

    def probe(self):
        return echoes(FIRST)

    def memory(self):
        """Bytes that the process has for itself."""
        text = self.server.read(f"/proc/{self.server.process.pid}/smaps_rollup")
        return int(re.search(r"Private_Dirty: +(\d+)", text).group(1)) * 1024

    def grown(self):
        return self.memory() - self.before

    def cpu(self):
        """Seconds."""
        fields = self.server.read(f"/proc/{self.server.process.pid}/stat").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def ended(self):
        """How often each reason stands in the log."""
        counts = {}
        for line in self.server.read("access.log").splitlines():
            counts[line] = counts.get(line, 0) + 1
        return counts


def bounded(soak, most, what):
    """Memory may grow by that much; sanitizers have shadows of their own."""
    grown = soak.grown()
    return SANITIZED or grown <= most, f"{what}: {grown} bytes more, {most} allowed"


# ---- rates ----

def measure_down(port, seconds, results, name):
    with connect(port) as client:
        results[name] = peers.receive_for(client, seconds)


def measure_up(port, seconds, results, name, counted):
    """Sends all it can, and counts at the origin's side: what is in buffers on the way is not there yet."""
    stop = threading.Event()

    def push():
        with connect(port) as client:
            client.settimeout(0.2)
            while not stop.is_set():
                try:
                    client.send(peers.BLOCK)
                except TimeoutError:
                    pass
                except OSError:
                    return

    thread = threading.Thread(target=push)
    thread.start()
    peer, _ = counted.accept()
    with peer:
        results[name] = peers.receive_for(peer, seconds)
    stop.set()
    thread.join()


def rates(folder, short):
    seconds = 3 if short else 10
    wanted = {"1000": 1000, "100k": 100 << 10, "10m": 10 << 20}
    source, listeners, servers, port = Origin("source"), {}, [], FIRST + 1
    for text in wanted:
        listeners[text] = socket.create_server(("127.0.0.1", 0))
        servers.append(f"server {{ listen {port}; proxy_pass 127.0.0.1:{source.port}; proxy_download_rate {text}; }}")
        servers.append(f"server {{ listen {port + 1}; proxy_upload_rate {text}; "
                       f"proxy_pass 127.0.0.1:{listeners[text].getsockname()[1]}; }}")
        port += 2
    results, threads = {}, []
    with Soak(folder, "\n".join(servers)) as soak:
        for at, text in enumerate(wanted):
            down, up = FIRST + 1 + at * 2, FIRST + 2 + at * 2
            threads.append(threading.Thread(target=measure_down, args=(down, seconds, results, (text, "down"))))
            threads.append(threading.Thread(target=measure_up, args=(up, seconds, results, (text, "up"), listeners[text])))
        before = soak.cpu()
        for thread in threads:
            thread.start()
        good = all(soak.probe() for _ in range(20))
        for thread in threads:
            thread.join()
        used = soak.cpu() - before
    source.end()
    yield good, "others are served"
    for (text, way), (count, took) in sorted(results.items()):
        ratio = count / took / wanted[text]
        yield 0.95 <= ratio <= 1.05, f"{text} {way}: {ratio:.3f} of the rate in {took:.1f} s"
    yield SANITIZED or used < 0.5 * (seconds + 1), f"no loop is busy: {used:.2f} s of CPU in {seconds + 1} s"


def fast_rate(folder, short):
    """A gigabyte a second, where the machine moves more than that without a limit."""
    seconds = 2 if short else 10
    source = Origin("source")
    with Soak(folder, f"server {{ listen {FIRST + 1}; proxy_pass 127.0.0.1:{source.port}; }}\n"
              f"server {{ listen {FIRST + 2}; proxy_pass 127.0.0.1:{source.port}; proxy_download_rate 1000m; }}"):
        results = {}
        measure_down(FIRST + 1, 2, results, "free")
        measure_down(FIRST + 2, seconds, results, "limited")
    source.end()
    free = results["free"][0] / results["free"][1] / (1000 << 20)
    ratio = results["limited"][0] / results["limited"][1] / (1000 << 20)
    if free < 1.2:
        yield ratio <= 1.05, f"1000m: {ratio:.3f} of the rate; without a limit this machine moves {free:.2f} of it"
    else:
        yield 0.95 <= ratio <= 1.05, f"1000m: {ratio:.3f} of the rate; {free:.2f} without a limit"


# ---- slow and silent peers ----

def slow_readers(folder, short):
    count, seconds = (50, 2) if short else (500, 10)
    source = Origin("source")
    with Soak(folder, f"server {{ listen {FIRST + 1}; proxy_pass 127.0.0.1:{source.port}; }}") as soak:
        clients = [connect(FIRST + 1) for _ in range(count)]
        end, good = time.monotonic() + seconds, True
        while time.monotonic() < end:
            good &= soak.probe() and all(client.recv(1) for client in clients)
            time.sleep(0.05)
        yield good, "others are served"
        yield bounded(soak, count * (2 * BUFFER + 2048) + 65536, "a buffer each way at most")
        for client in clients:
            client.close()
    source.end()


def slow_writers(folder, short):
    count, seconds = (50, 2) if short else (500, 10)
    with Soak(folder, "") as soak:
        clients = [connect(FIRST) for _ in range(count)]
        end, sent, good = time.monotonic() + seconds, 0, True
        while time.monotonic() < end:
            for client in clients:
                client.sendall(bytes([sent % 256]))
            sent += 1
            good &= soak.probe()
        got = [receive_exactly(client, sent) for client in clients]
        yield good, "others are served"
        yield all(one == bytes(i % 256 for i in range(sent)) for one in got), f"{sent} single bytes of {count} come back"
        yield bounded(soak, count * 2048 + 65536, "no buffer")
        for client in clients:
            client.close()


def receive_exactly(client, size):
    got = b""
    while len(got) < size:
        some = client.recv(size - len(got))
        if not some:
            break
        got += some
    return got


def silent_flood(folder, short):
    """Connections that never say anything, where something is waited for and where nothing is."""
    count = 200 if short else 5000
    echo = Origin("echo")
    with Soak(folder, f"server {{ listen {FIRST + 1}; proxy_pass 127.0.0.1:{echo.port}; }}\n"
              f"server {{ listen {FIRST + 2}; ssl_preread on; preread_timeout 1s; proxy_pass 127.0.0.1:{echo.port}; }}",
              connections=2 * count + 64) as soak:
        idle = [connect(FIRST + 1) for _ in range(count)]
        good = soak.probe()
        yield bounded(soak, count * 1024 + 65536, "no buffer for who is silent")
        waiting = [connect(FIRST + 2) for _ in range(count)]
        good &= soak.probe()
        ended = all(client.recv(1) == b"" for client in waiting)
        yield good, "others are served"
        yield ended, "what is waited for in vain ends"
        for client in idle + waiting:
            client.close()
        ends = {"preread_timeout 200": count, "client_done 200": count}
        yield soak.server.wait(lambda: soak.ended() == ends), f"each for its reason: {soak.ended()}"
    echo.end()


def deaf_origin(folder, short):
    count = 20 if short else 200
    deaf = Origin("deaf")
    with Soak(folder, f"server {{ listen {FIRST + 1}; proxy_pass 127.0.0.1:{deaf.port}; proxy_timeout 1s; }}") as soak:
        clients = [connect(FIRST + 1) for _ in range(count)]
        taken = [peers.send_all_it_takes(client) for client in clients]
        yield soak.probe(), "others are served"
        yield bounded(soak, count * (BUFFER + 2048) + 65536, f"one buffer each, of {sum(taken) >> 20} MB on the way")
        gone = all(select.select([client], [], [], 10)[0] for client in clients)
        yield gone, "proxy_timeout ends them"
        for client in clients:
            client.close()
        yield soak.server.wait(lambda: sum(soak.ended().values()) == count), f"each has its line: {soak.ended()}"
    deaf.end()


# ---- used up ----

def descriptors(folder, short):
    """So few that not all clients have room: who is there goes on, who waits comes in when there is. A session takes two,
    so with an even number of them or an odd one it is accepting or connecting that finds none."""
    del short
    for limit in (64, 65):
        with Soak(folder, "", prelude=f"worker_rlimit_nofile {limit};") as soak:
            lasting = connect(FIRST)
            clients = [connect(FIRST) for _ in range(60)]
            time.sleep(2)
            said = soak.server.read("error.log")
            lasting.sendall(b"still here")
            yield receive_exactly(lasting, 10) == b"still here", f"{limit}: who is there goes on"
            yield "Too many open files" in said, f"{limit}: the log says what is missing"
            yield said.count("accept4() failed") <= 12, f"{limit}: a few times a second at most, for as long as it lasts"
            for client in clients:
                client.close()
            yield soak.server.wait(soak.probe), f"{limit}: when some have left, others come in"
            lasting.close()
        os.unlink(folder + "/error.log")


def ports(folder, short):
    """Twelve ports for connections to upstream servers: sessions beyond them end, and the others go on."""
    del short
    sysctl, echo = "/proc/sys/net/ipv4/ip_local_port_range", Origin("echo")
    with open(sysctl, encoding="ascii") as file:
        before = file.read()
    stream = f"server {{ listen {FIRST + 1}; proxy_pass 127.0.0.1:{echo.port}; proxy_bind 127.0.0.2; }}"
    with Soak(folder, stream) as soak:
        clients = [connect(FIRST + 1, source="127.0.0.3") for _ in range(4)]
        for client in clients:
            client.sendall(b"one")
        good = all(receive_exactly(client, 3) == b"one" for client in clients)
        more = [socket.socket() for _ in range(40)]
        for at, client in enumerate(more):
            client.settimeout(10)
            client.bind(("127.0.0.3", 50000 + at))
        with open(sysctl, "w", encoding="ascii") as file:
            file.write("40000 40011\n")
        answers = []
        for client in more:
            client.connect(("127.0.0.1", FIRST + 1))
            client.sendall(b"two")
            try:
                answers.append(receive_exactly(client, 3))
            except OSError:
                answers.append(b"")
        with open(sysctl, "w", encoding="ascii") as file:
            file.write(before)
        refused = answers.count(b"")
        yield 0 < refused < len(more), f"{refused} of {len(more)} sessions find no port"
        yield "Cannot assign requested address" in soak.server.read("error.log"), "the log says so"
        for client in clients:
            client.sendall(b"two")
        yield good and all(receive_exactly(client, 3) == b"two" for client in clients), "the others go on"
        yield soak.probe(), "and new ones come in"
        for client in clients + more:
            client.close()
        yield soak.server.wait(lambda: sum(soak.ended().values()) == 44), f"each has its line: {soak.ended()}"
    echo.end()


# ---- many ----

def idle(folder, short):
    """Sessions that have moved a byte each way and then nothing: what each costs of memory, and others are served."""
    hosts, most = 4, peers.raise_limit(204096)
    count = 500 if short else min(100000, (most - 1000) // 2)
    if count < 100000 and not short:
        print(f"note   idle: the limit of {most} descriptors leaves room for {count} sessions, not 100000")
    with open("/proc/sys/net/ipv4/ip_local_port_range", "w", encoding="ascii") as file:
        file.write("20000 60999\n")
    origins = [Origin("echo", f"127.0.1.{at + 1}") for at in range(hosts)]
    stream = "\n".join(f"server {{ listen 127.0.2.{at + 1}:{FIRST + 1}; proxy_timeout 1h; "
                       f"proxy_pass 127.0.1.{at + 1}:{origin.port}; }}" for at, origin in enumerate(origins))
    with Soak(folder, stream, connections=count + 64, prelude=f"worker_rlimit_nofile {most};") as soak:
        clients = []
        for at in range(count):
            client = connect(FIRST + 1, host=f"127.0.2.{at % hosts + 1}")
            client.sendall(b"x")
            clients.append(client)
        answered = all(client.recv(1) == b"x" for client in clients)
        yield answered, f"{count} sessions"
        yield bounded(soak, count * 600 + 16384, f"{soak.grown() // count} bytes for each of {count}")
        before = soak.cpu()
        time.sleep(1)
        yield soak.cpu() - before < 0.1, "they cost no CPU"
        yield all(soak.probe() for _ in range(20)), "others are served"
        for client in clients:
            client.close()
        yield soak.server.wait(lambda: sum(soak.ended().values()) == count, 60), "each has its line"
    for origin in origins:
        origin.end()


def limit(folder, short):
    """Sessions of many keys at once, over several workers and reloads: never one too many, and none left counted."""
    keys, rounds = (100, 4) if short else (1000, 5)
    with Soak(folder, "limit_conn_zone $remote_addr zone=keys:1m;\n"
              f"server {{ listen {FIRST + 1}; limit_conn keys {held.MOST}; limit_conn_log_level info; proxy_timeout 1s; "
              f"proxy_pass 127.0.0.1:{{echo}}; }}", workers=4) as soak:
        crowd = held.Crowd(FIRST + 1, keys, seed=7)
        for _ in range(rounds):
            crowd.round(most=800)
            soak.server.process.send_signal(signal.SIGHUP)
        crowd.finish()
        count = keys * rounds * held.AT_ONCE
        yield crowd.entered + crowd.refused == count, f"{count} connections of {keys} keys have an answer"
        yield crowd.largest() == held.MOST, f"at most {crowd.largest()} of a key at once"
        yield crowd.refused > count // 4, f"{crowd.refused} were refused"
        yield soak.server.wait(lambda: sum(soak.ended().values()) == count, 60), "each has its line"
        last = held.Crowd(FIRST + 1, keys, seed=8)
        last.round(most=800, at_once=held.MOST)
        last.finish()
        yield last.refused == 0 and last.entered == keys * held.MOST, "then nobody is counted any more"
        yield soak.probe(), "others are served"


CASES = {case.__name__: case for case in (rates, fast_rate, slow_readers, slow_writers, silent_flood, deaf_origin,
                                          descriptors, ports, idle, limit)}
LONG_ONLY = ("fast_rate",)


def play(name, short):
    """What the case yields: (is it so, what)."""
    with tempfile.TemporaryDirectory(prefix="spc-soak-") as folder:
        try:
            yield from CASES[name](folder, short)
        except (OSError, AssertionError) as error:
            yield False, f"{type(error).__name__}: {error}"


def in_network_of_our_own():
    """Run again in a new network namespace, where ports and their range are ours."""
    if os.environ.get("SOAK_INSIDE"):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return
    os.environ["SOAK_INSIDE"] = "1"
    os.execvp("unshare", ["unshare", "--net", sys.executable, *sys.argv])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--short", action="store_true")
    parser.add_argument("cases", nargs="*", metavar="CASE")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("0 passed, 0 failed, 1 skipped (a network namespace needs root)")
        return 0
    in_network_of_our_own()
    peers.raise_limit(16384)
    passed = failed = 0
    for name in options.cases or [name for name in CASES if not (options.short and name in LONG_ONLY)]:
        for good, what in play(name, options.short):
            passed += bool(good)
            failed += not good
            if not good or not options.short:
                print(f"{'ok' if good else 'FAILED':7}{name}: {what}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
