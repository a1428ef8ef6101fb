#!/usr/bin/python3
"""What a .talk cannot say of logs: rings in memory, JSON, rates; and that no byte of a client's makes a line.

    tests/log/run.py [--count N] [--seed S]

N sessions, one after the other, send bytes made up at random wherever a client has a say: SNI and ALPN
of a ClientHello, addresses and TLVs of PROXY headers, names of MQTT and HTTP, anything else before the content; some of
it is told in the error log too, as where a session shall go. Each must leave one line in
every log, and each line must parse. Programs: as for tests/run. Last line: "N passed, N failed".
"""
import argparse
import json
import os
import random
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, ROOT + "/tests/engine")
sys.dont_write_bytecode = True

from server import Server  # noqa: E402
from talk import Failure  # noqa: E402
from wire import Ports  # noqa: E402

LEVEL = rb"(info|notice|warn|error|crit|alert|emerg)"
LINE = re.compile(rb"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[" + LEVEL + rb"\] \d+#\d+: [ -~\x80-\xff]+")
RING = 4096
PATIENCE = 20


def need(condition, what):
    if not condition:
        raise Failure(what)


class Play:
    """A server in a folder of its own."""

    def __init__(self, stream, ports, level="info", target=None):
        self.folder = tempfile.mkdtemp(prefix="spc-log-")
        self.ports = {name: Ports().take() for name in ports}
        build = os.environ.get("SPCD_BUILD", "build")
        tools = {name: os.environ.get(name.upper(), f"{ROOT}/{build}/{name}") for name in ("spcc", "spcd")}
        self.server = Server("spcd", self.folder, tools)
        text = stream.format(dir=self.folder, **self.ports)
        settings = {"workers": "1", "level": level, "connections": "512"}
        whole = self.server.whole_config("", text, settings)
        if target:
            whole = whole.replace(f"error_log {self.folder}/error.log", f"error_log {target}")
        need(self.server.place(whole), "spcc refuses the configuration")
        self.server.start()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.end()
        if kind is None:
            shutil.rmtree(self.folder)

    def end(self):
        if self.server.process.poll() is None:
            self.server.signal("TERM")
            self.server.process.wait(PATIENCE)

    def visit(self, port, data=b""):
        """What the server says to a client that sends data; a reset is an end."""
        with socket.create_connection(("127.0.0.1", self.ports[port]), timeout=PATIENCE) as client:
            said = b""
            try:
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                while block := client.recv(65536):
                    said += block
            except OSError as error:
                need(not isinstance(error, TimeoutError), f"{port}: no end")
            return said

    def lines(self, name):
        path = f"{self.folder}/{name}"
        return open(path, "rb").read().splitlines(keepends=True) if os.path.exists(path) else []

    def await_lines(self, name, count):
        good = self.server.wait(lambda: sum(line.endswith(b"\n") for line in self.lines(name)) >= count, PATIENCE)
        need(good, f"{name}: {len(self.lines(name))} lines, not {count}")
        return self.lines(name)


# ---- memory, JSON, rate ----

def ring_of(pid):
    folder = f"/proc/{pid}/fd"
    for name in os.listdir(folder):
        if os.readlink(f"{folder}/{name}").startswith("/memfd:error_log"):
            return open(f"{folder}/{name}", "rb").read()
    raise Failure("no ring in memory")


def may_visit(play):
    try:
        return play.visit("front") == b"hello"
    except OSError:
        return False


def memory():
    with Play("server {{ listen 127.0.0.1:{front}; error_log memory:4k info; return hello; }}", ["front"]) as play:
        pid = play.server.process.pid
        for _ in range(5):
            play.visit("front")
        ring = ring_of(pid)
        need(ring.count(b" connected to ") == 5, f"not 5 lines: {ring}")
        need(all(LINE.fullmatch(line) for line in ring.splitlines()), f"odd lines: {ring}")
        play.server.signal("USR1")
        play.server.signal("HUP")
        time.sleep(0.5)
        play.visit("front")
        need(ring_of(pid).count(b" connected to ") == 6, "USR1 or HUP lost the ring")
        served = open(f"/proc/{pid}/task/{pid}/children", encoding="ascii").read().split()
        os.kill(int(served[0]), signal.SIGKILL)
        need(play.server.wait(lambda: may_visit(play), PATIENCE), "no server follows one that was killed")
        need(ring_of(pid).count(b" connected to ") == 7, "the ring is not there any more when the server is dead")
        for _ in range(100):
            play.visit("front")
        ring = ring_of(pid)
        need(len(ring) <= RING, f"the ring has grown to {len(ring)} bytes")
        need(re.search(rb"\*101 client", ring) and not re.search(rb"\*[1-9] client", ring), f"not the newest: {ring[:300]}")


def as_json():
    with Play("server {{ listen 127.0.0.1:{front}; error_log {dir}/j.log info format=json; return hello; }}",
              ["front"]) as play:
        for _ in range(3):
            play.visit("front")
        for number, line in enumerate(play.await_lines("j.log", 3), 1):
            found = json.loads(line)
            need(list(found) == ["time", "level", "pid", "tid", "connection", "message"], f"keys: {line}")
            need(found["connection"] == number and found["level"] == "info", f"values: {line}")
            need(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", found["time"]), f"time: {line}")
            need(re.fullmatch(r"client 127\.0\.0\.1:\d+ connected to .*", found["message"]), f"message: {line}")


def rate():
    with Play("server {{ listen 127.0.0.1:{front}; error_log {dir}/r.log info rate=2/s; return hello; }}",
              ["front"]) as play:
        for _ in range(40):
            play.visit("front")

        def sums():
            lines = [line.decode() for line in play.lines("r.log")]
            said = re.compile(r"\[warn\] \S+ (\d+) lines were left out, since rate=2/s was reached")
            left = [said.search(line) for line in lines]
            return sum(not one for one in left), sum(int(one[1]) for one in left if one)

        need(play.server.wait(lambda: sum(sums()) == 40, PATIENCE), f"lines and lines left out: {sums()}, not 40")
        need(0 < sums()[0] < 40, f"no rate was kept: {sums()}")


def syslog_host():
    listeners, port = [], Ports().take()
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            listener = socket.socket(family, socket.SOCK_DGRAM)
            listener.bind((host, port))
            listeners.append(listener)
        except OSError:
            pass  # a machine without IPv6: then localhost is the other one
    stream = ("log_format m 'said $status'; server {{ listen 127.0.0.1:{front};"
              " access_log syslog:server=localhost:%d,nohostname,tag=edge m; return hello; }}" % port)
    with Play(stream, ["front"]) as play:
        for _ in range(2):
            play.visit("front")
            ready = select.select(listeners, [], [], PATIENCE)[0]
            need(ready, "syslog heard nothing")
            message = ready[0].recv(65536)
            need(re.fullmatch(rb"<190>\w{3} [ \d]\d [\d:]{8} edge: said 200", message), f"syslog heard: {message}")
    for listener in listeners:
        listener.close()


def syslog_unknown():
    stream = ("log_format m 'said $status'; server {{ listen 127.0.0.1:{front};"
              " access_log syslog:server=nobody.invalid m; access_log {dir}/a.log m; return hello; }}")
    with Play(stream, ["front"]) as play:
        need(play.visit("front") == b"hello", "a server without syslog does not serve")
        play.await_lines("a.log", 1)
        need('host not found in syslog "nobody.invalid"' in play.server.read("error.log"), "nothing is said")


def syslog_alone():
    """Nothing but syslog, from the supervisor's first line to the server's last."""
    heard = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))

        def hear(what):
            while not heard or what not in heard[-1]:
                need(select.select([listener], [], [], PATIENCE)[0], f"syslog heard no \"{what}\": {heard}")
                heard.append(listener.recv(65536).decode())
            need(re.match(r"<18\d>\w{3} [ \d]\d [\d:]{8} \S+ edge: \d{4}/", heard[-1]), f"syslog heard: {heard[-1]}")

        target = f"syslog:server=127.0.0.1:{listener.getsockname()[1]},tag=edge"
        with Play("server {{ listen 127.0.0.1:{front}; return hello; }}", ["front"], "notice", target) as play:
            hear("start server process")
            need(play.visit("front") == b"hello", "a server with syslog alone does not serve")
            play.server.signal("HUP")
            hear("new sessions take the new configuration")
            play.server.signal("USR1")
            hear("reopening logs")
            child = int(re.search(r"start server process (\d+)", " ".join(heard))[1])
            os.kill(child, signal.SIGKILL)
            hear("exited on signal 9")
            hear("start server process")
            play.end()
            hear("sessions ended")
            need(not play.server.read("error.log") and not play.server.read("stderr"), "something is said elsewhere")


def standard_error():
    """Not the file of -e, which is for what the blob does not say."""
    with Play("server {{ listen 127.0.0.1:{front}; return hello; error_log stderr info; }}", ["front"]) as play:
        play.visit("front")
        play.await_lines("stderr", 1)
        need("connected to" in play.server.read("stderr"), "nothing on standard error")
        need("connected to" not in play.server.read("error.log"), "a line is in the wrong place")


def full_disk():
    """On a disk of 16 kB: every line is whole or counted as lost, and one that was torn spoils no other."""
    disk, line = tempfile.mkdtemp(prefix="spc-disk-"), "begin " + "x" * 300 + " end"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k,mode=777", "spc", disk], check=False).returncode:
        os.rmdir(disk)
        return  # only root may
    try:
        with open(f"{disk}/filler", "wb") as filler:
            filler.write(b"x" * 8192)
        stream = (f"log_format m '{line}'; server {{{{ listen 127.0.0.1:{{front}}; access_log {disk}/a.log m;"
                  " return hello; }}")
        with Play(stream, ["front"]) as play:
            need(all(play.visit("front") == b"hello" for _ in range(40)), "a full disk stops sessions")
            os.unlink(f"{disk}/filler")
            need(all(play.visit("front") == b"hello" for _ in range(10)), "an emptied disk stops sessions")
            play.end()
            lost = int(re.search(r"lines_lost (\d+)", play.server.read("error.log"))[1])
            with open(f"{disk}/a.log", encoding="utf-8") as file:
                lines = file.read().splitlines()
        whole = sum(one == line for one in lines)
        need(whole + lost == 50 and whole > 30, f"{whole} whole lines and {lost} lost are not 50")
        need(sum(one != line for one in lines) == 1, "not one line is torn")
    finally:
        subprocess.run(["umount", disk], check=False)
        os.rmdir(disk)


# ---- injection ----

STREAM = """
    log_format plain 'one [$ssl_preread_server_name] [$ssl_preread_alpn_protocols] [$proxy_protocol_addr] '
                     '[$proxy_protocol_tlv_authority] [$proxy_protocol_tlv_alpn] [$proxy_protocol_tlv_0xee] '
                     '[$mqtt_preread_clientid] [$mqtt_preread_username] [$http_preread_host] [$begin] two';
    log_format quoted escape=json '{{"a":"$ssl_preread_server_name","b":"$ssl_preread_alpn_protocols",'
                     '"c":"$proxy_protocol_tlv_authority","d":"$proxy_protocol_tlv_alpn",'
                     '"e":"$proxy_protocol_tlv_0xee","f":"$mqtt_preread_clientid $begin"}}';
    log_format typed json {{
        a $ssl_preread_server_name;
        b "alpn: $ssl_preread_alpn_protocols";
        c $proxy_protocol_tlv_authority;
        d $proxy_protocol_tlv_alpn;
        e $proxy_protocol_tlv_0xee;
        f $mqtt_preread_clientid;
        g "<$mqtt_preread_username>";
        h $http_preread_host;
        i $begin;
        port $proxy_protocol_port;
        status $status;
    }}
    access_log {dir}/plain.log plain;
    access_log {dir}/quoted.log quoted;
    access_log {dir}/typed.log typed;
    access_log {dir}/named/at-$ssl_preread_server_name$proxy_protocol_tlv_authority plain;
    error_log {dir}/error.text info;
    error_log {dir}/error.json info format=json;
    map $ssl_preread_server_name$mqtt_preread_clientid$proxy_protocol_tlv_authority $begin {{
        "~^(?<first>.{{1,9}})" "$first-$1";
    }}
    server {{ listen 127.0.0.1:{hello}; ssl_preread on; return bye; }}
    server {{
        listen 127.0.0.1:{routed} proxy_protocol;
        ssl_preread on;
        mqtt_preread on;
        http_preread on;
        preread_timeout 50ms;
        proxy_bind $proxy_protocol_tlv_authority;
        proxy_download_rate $begin;
        proxy_pass $ssl_preread_server_name$mqtt_preread_clientid$mqtt_preread_username$http_preread_host/;
    }}
    server {{ listen 127.0.0.1:{proxied} proxy_protocol; return bye; }}
    server {{ listen 127.0.0.1:{both} proxy_protocol; ssl_preread on; return bye; }}
"""


def some(chance, most):
    """Bytes that a log line has reason to fear, more often than others."""
    fearsome = [b"\n", b"\r", b"\0", b'"', b"\\", b"\x1b[2J", b"\x7f", b"\xff", b"\xc2", b"\xe2\x80\xa8", b"../",
                b"/", b"{", b"}", b"%n"]
    made = b""
    while len(made) < chance.randrange(1, most):
        made += chance.choice(fearsome) if chance.random() < 0.5 else chance.randbytes(chance.randrange(1, 8))
    return made[:most]


def sized(data, size):
    return len(data).to_bytes(size, "big") + data


def client_hello(chance, name=None):
    name = name or some(chance, 200)
    alpn = b"".join(sized(some(chance, 40), 1) for _ in range(chance.randrange(1, 4)))
    extensions = struct.pack(">H", 0) + sized(sized(b"\0" + sized(name, 2), 2), 2)
    extensions += struct.pack(">H", 16) + sized(sized(alpn, 2), 2)
    body = b"\3\3" + chance.randbytes(32) + b"\0" + sized(b"\x13\x01", 2) + b"\1\0" + sized(extensions, 2)
    return b"\x16\3\1" + sized(b"\1" + sized(body, 3), 2)


def mqtt(chance):
    body = sized(b"MQTT", 2) + b"\4\x82\0\x3c" + sized(some(chance, 50), 2) + sized(some(chance, 50), 2)
    return b"\x10" + bytes([len(body)]) + body


def first_packet(chance):
    kind = chance.random()
    if kind < 0.3:
        return mqtt(chance)
    if kind < 0.5:
        return b"GET / HTTP/1.1\r\nHost: " + some(chance, 60) + b"\r\n\r\n"
    return client_hello(chance) if kind < 0.9 else some(chance, 300)


def header(chance):
    kind = chance.random()
    if kind < 0.1:
        return b"PROXY " + some(chance, 60) + b"\r\n"
    if kind < 0.2:
        return some(chance, 100)
    tlvs = b"".join(bytes([chance.choice((1, 2, 5, 0xEE, 0x20, chance.randrange(256)))]) + sized(some(chance, 100), 2)
                    for _ in range(chance.randrange(5)))
    return b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + sized(chance.randbytes(12) + tlvs, 2)


def check_logs(play, count):
    for line in play.await_lines("plain.log", count):
        need(re.fullmatch(rb"one \[[ -~]*\] two\n", line), f"plain.log: {line}")
    for line in play.await_lines("quoted.log", count):
        json.loads(line.decode("utf-8", "surrogateescape"))
    typed = [json.loads(line.decode("utf-8")) for line in play.await_lines("typed.log", count)]
    missing = [key for key in "abcdefgi" if not any(one[key] for one in typed)]  # h: no such host is one
    need(not missing, f"never there: {missing}")
    for found in typed:
        need(found["status"] in (200, 400, 500) and list(found)[-1] == "status", f"typed.log: {found}")
    for name in ("plain.log", "quoted.log", "typed.log"):
        data = open(f"{play.folder}/{name}", "rb").read()
        need(data.count(b"\n") == count and data.endswith(b"\n"), f"{name}: {data.count(10)} lines, not {count}")
    for line in open(f"{play.folder}/error.text", "rb").read().split(b"\n")[:-1]:
        need(LINE.fullmatch(line), f"error.text: {line}")
    for line in open(f"{play.folder}/error.json", "rb").read().split(b"\n")[:-1]:
        need(json.loads(line.decode("utf-8"))["message"], f"error.json: {line}")
    outside = [name for name in os.listdir(play.folder) if name.startswith("at-")]
    need(not outside, f"written outside: {outside}")
    need(os.listdir(f"{play.folder}/named"), "no file is named by what a client said")


def injection(count, seed):
    chance = random.Random(seed)
    with Play(STREAM, ["hello", "proxied", "both", "routed"]) as play:
        os.mkdir(f"{play.folder}/named")
        play.visit("hello", client_hello(chance, b"good"))
        for _ in range(count):
            port = chance.choice(("hello", "proxied", "both", "routed"))
            data = header(chance) if port != "hello" else b""
            if port == "routed":
                data += first_packet(chance)
            elif port != "proxied":
                data += client_hello(chance) if chance.random() < 0.9 else some(chance, 300)
            play.visit(port, data)
        check_logs(play, count + 1)
        play.end()
        need(play.server.process.returncode == 0, f"exit status {play.server.process.returncode}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=1)
    wish = parser.parse_args()
    passed = failed = 0
    for test in (memory, as_json, rate, syslog_host, syslog_unknown, syslog_alone, standard_error,
                 full_disk, lambda: injection(wish.count, wish.seed)):
        try:
            test()
            passed += 1
        except Failure as failure:
            failed += 1
            print(f"FAILED {getattr(test, '__name__', 'injection')}: {failure}")
    print(f"{passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
