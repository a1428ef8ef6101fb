#!/usr/bin/python3
"""Upstream servers that break TLS, or bend it: at each step of the handshake and after it, through nginx and spcd.

What the client received, the access log's fields and the sentences of the error log have to be the same in both (but
for the words of either library, which stand in brackets), unless the table says otherwise. Arguments: cases that are
wanted, and -v for what was seen. Last line: "N passed, N failed".
"""
import os
import re
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import warnings

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [ROOT + "/tests/engine", HERE]
sys.dont_write_bytecode = True

import der  # noqa: E402

der.folder = ROOT + "/build/chains"
os.makedirs(der.folder, exist_ok=True)

import raw  # noqa: E402
from chains import LocalOrigin, shows  # noqa: E402
from server import Server, die_with_parent  # noqa: E402
from talk import Failure  # noqa: E402

warnings.simplefilter("ignore", DeprecationWarning)  # old versions of TLS are what some cases are about
LEAF = der.Certificate(["CN=leaf"], "ec-leaf", None, [der.also("DNS:x.example")])
LOG = "$status $bytes_sent $bytes_received $upstream_bytes_sent $upstream_bytes_received $upstream_addr"
FRAME = re.compile(r"^\S+ \S+ \[(\w+)\] \S+ \*\d+ (.*?)( while [^,]*)?, client: .*?server: unix:\S*/f(\d+),")
DULL = re.compile(r"client .*connected to|proxy .*connected to")
CASES = []
AT_ONCE = 6


def case(title, *behaviours, directives="", client=("abc", 3), **more):
    """A behaviour is a function of the accepted socket, or how often keys change (shows.py). client: what it sends, and how many bytes it waits for; None for whatever comes until the end. more: what spcd
    says besides what nginx says; instead: what differs otherwise; compare: only that."""
    CASES.append({"title": title, "behaviours": behaviours, "directives": directives, "client": client, **more})


# ---- servers without cryptography ----

def says(*parts, then="end", pause=0):
    """After the ClientHello these bytes; then end, reset, or wait."""
    def behave(client):
        raw.take_record(client)
        for part in parts:
            client.sendall(part)
            time.sleep(pause)
        if then == "wait":
            client.settimeout(2)
            while client.recv(1000):
                pass
        elif then == "reset":
            reset(client)
    return behave


def reset(client):
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def at_once(then):
    def behave(client):
        if then == "reset":
            reset(client)
        elif then != "end":
            client.sendall(then)
            client.settimeout(2)
            while client.recv(1000):
                pass
    return behave


def shake(*messages):
    return raw.record(raw.HANDSHAKE, b"".join(messages))


HELLO = raw.server_hello()
SHOWN = raw.certificates(LEAF.der)


# ---- servers with it ----

def context(**wishes):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.set_ciphers("ALL:@SECLEVEL=0")
    if "newest" in wishes:
        made.minimum_version = ssl.TLSVersion.TLSv1
        made.maximum_version = wishes["newest"]
    if "tickets" in wishes:
        made.num_tickets = wishes["tickets"]
    made.load_cert_chain(context.path, der.key_file("ec-leaf"))
    return made


class Bent:
    """A server's TLS whose bytes are changed on their way: way(pieces of what it sends) gives what is sent."""

    def __init__(self, client, **wishes):
        self.client, self.into, self.out = client, ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context(**wishes).wrap_bio(self.into, self.out, server_side=True)

    def send(self, way=lambda data: [data]):
        data = self.out.read()
        for piece in way(data) if data else []:
            self.client.sendall(piece)

    def do(self, what, way=lambda data: [data]):
        while True:
            try:
                result = what()
                self.send(way)
                return result
            except ssl.SSLWantReadError:
                self.send(way)
                data = self.client.recv(16384)
                if not data:
                    raise OSError("it ended") from None
                self.into.write(data)


def whole(then="end", way=lambda data: [data], **wishes):
    """Handshake, its bytes sent by way; a line backwards; then what then says."""
    def behave(client):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        bent = Bent(client, **wishes)
        bent.do(bent.tls.do_handshake, way)
        data = bent.do(lambda: bent.tls.read(100))
        bent.tls.write(data[::-1])
        bent.send()
        if callable(then):
            then(bent)
    return behave


def split_at(place):
    def way(data):
        return [data[:place], data[place:]] if place < len(data) else [data]
    return way


def after_header(behaves):
    def behave(client):
        head = b""
        while not head.endswith(b"\r\n"):
            head += raw.take(client, 1)
        if head.startswith(b"PROXY "):
            behaves(client)
    return behave


class Renegotiating:
    """openssl s_server, told to ask for another handshake as soon as the first is done, and then to say hello."""

    def __init__(self, path):
        self.process = subprocess.Popen(
            ["openssl", "s_server", "-unix", path, "-tls1_2", "-cert", context.path, "-key", der.key_file("ec-leaf"),
             "-naccept", "2"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            preexec_fn=die_with_parent)
        while not os.path.exists(path):
            time.sleep(0.01)
        threading.Thread(target=self.command, daemon=True).start()

    def command(self):
        for line in self.process.stdout:
            if line.startswith("Secure Renegotiation"):
                self.say("r")
                time.sleep(0.2)
                self.say("hello")
        self.process.wait()

    def say(self, line):
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:  # it was the last client
            pass


def spoilt_at(place):
    def way(data):
        return [data[:place] + bytes([data[place] ^ 0x20]) + data[place + 1:]] if place < len(data) else [data]
    return way


def slowly(pieces):
    """So that each is read on its own."""
    for piece in pieces:
        yield piece
        time.sleep(0.003)


def close_properly(bent):
    try:
        bent.tls.unwrap()
    except ssl.SSLError:
        pass
    bent.send()
    end = b""
    bent.client.settimeout(2)
    while data := bent.client.recv(1000):
        end += data
    bent.client = end


def adds(data, then=None):
    """Bytes in clear after the handshake."""
    def bend(bent):
        bent.client.sendall(data)
        if then:
            then(bent)
        bent.client.settimeout(2)
        try:
            while bent.client.recv(1000):
                pass
        except OSError:
            pass
    return bend


def half_a_record(bent):
    bent.tls.write(b"x" * 1000)
    bent.client.sendall(bent.out.read()[:500])


def resets(bent):
    reset(bent.client)


def handshake():
    """What a server may do instead of a handshake."""
    good = whole()
    alive = dict(client=("abc", None))
    case("good", good)
    case("ends at once", at_once("end"), **alive)
    case("resets at once", at_once("reset"), **alive)
    case("speaks before it is asked", at_once(b"220 mail.example ESMTP\r\n"), **alive)
    case("ends after the hello", says(), **alive)
    case("resets after the hello", says(then="reset"), **alive)
    for number in (0, 40, 42, 47, 70, 80, 90, 100, 112, 116, 120):
        case(f"alert {number}", says(raw.alert(number)), **alive)
    case("warning close_notify", says(raw.alert(0, 1)), **alive)
    case("warning unrecognized_name", says(raw.alert(112, 1)), **alive)
    case("a flood of warnings", says(raw.alert(112, 1) * 100, then="wait"), **alive)
    case("a broken alert", says(raw.record(raw.ALERT, b"\2")), **alive)
    case("HTTP", says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), **alive)
    case("zeros", says(bytes(100)), **alive)
    case("SSL 2", says(b"\x80\x20\x04\x00\x01\x00\x02" + bytes(40)), **alive)
    case("a record of an unknown kind", says(raw.record(99, b"hello")), **alive)
    case("a record that is too long", says(struct.pack(">BHH", 22, 0x0303, 0xffff) + bytes(70000)), **alive)
    case("a record that is a little too long", says(struct.pack(">BHH", 22, 0x0303, 18433) + bytes(18433)), **alive)
    case("an empty record", says(struct.pack(">BHH", 22, 0x0303, 0) + shake(HELLO)), **alive)
    case("a flood of empty records", says(struct.pack(">BHH", 22, 0x0303, 0) * 100, then="wait"), **alive)
    case("application data instead", says(raw.record(raw.DATA, b"hello")), **alive)
    case("ChangeCipherSpec instead", says(raw.record(20, b"\1"), shake(HELLO)), **alive)
    case("a flood of ChangeCipherSpec", says(raw.record(20, b"\1") * 100, then="wait"), **alive)
    early = {"instead": {"says": ["SSL_do_handshake() failed (SSL) while SSL handshaking to upstream"]}, **alive}  # it is not ignored
    case("HelloRequest first", says(shake(raw.message(0, b""))), **early)
    case("a flood of HelloRequests", says(shake(*[raw.message(0, b"")] * 1000), then="wait"), **early)
    case("a hello of SSL 3", says(shake(raw.server_hello(version=0x0300))), **alive)
    case("a hello of TLS 1.0", says(shake(raw.server_hello(version=0x0301))), **alive)
    case("a hello of TLS 1.5", says(shake(raw.server_hello(version=0x0305))), **alive)
    case("a cipher that was not offered", says(shake(raw.server_hello(cipher=0x0005))), **alive)
    case("a protocol that was not offered", says(shake(raw.server_hello(extensions=b"\0\x10\0\5\0\3\2h2"))), **alive)
    case("an extension that nobody knows", says(shake(raw.server_hello(extensions=b"\xaa\xaa\0\0"))), **alive)
    case("two hellos", says(shake(HELLO, HELLO)), **alive)
    case("a hello in pieces", says(shake(HELLO)[:30], shake(HELLO)[30:], pause=0.01), **alive)
    case("a hello that is too long", says(shake(raw.message(2, bytes(60000)))), **alive)
    case("a message of 16 MB", says(shake(b"\2\xff\xff\xff" + bytes(1000))), **alive)
    case("no certificates", says(shake(HELLO, raw.certificates())), **alive)
    case("certificates that are none", says(shake(HELLO, raw.certificates(b"hello"))), **alive)
    case("certificates of 200 kB", says(shake(HELLO, raw.certificates(LEAF.der, bytes(200000)))), **alive)
    case("done too early", says(shake(HELLO, SHOWN, raw.message(14, b""))), **alive)
    case("a finish too early", says(shake(HELLO, SHOWN, raw.message(20, bytes(12)))), **alive)
    case("ends after its hello", says(shake(HELLO)), **alive)
    case("ends in its hello", says(shake(HELLO)[:20]), **alive)
    case("ends after its certificates", says(shake(HELLO, SHOWN)), **alive)
    case("resets after its certificates", says(shake(HELLO, SHOWN), then="reset"), **alive)


def stalls():
    """It waits at each step, and the next one is good; only spcd says why it was left."""
    left = ["upstream timed out (110: Connection timed out) while SSL handshaking to upstream"]
    late = "proxy_connect_timeout 400ms;"
    for title, parts in (("at once", None), ("after the hello", ()), ("in its hello", (shake(HELLO)[:20],)),
                         ("after its hello", (shake(HELLO),)), ("in its certificates", (shake(HELLO, SHOWN)[:200],)),
                         ("after its certificates", (shake(HELLO, SHOWN),))):
        stall = at_once(b"") if parts is None else says(*parts, then="wait")
        case(f"stalls {title}", stall, whole(), directives=late, more=left)
        case(f"stalls {title}, and nobody else", stall, directives=late, client=("abc", None), more=left)
    case("stalls, and may not be left", says(then="wait"), whole(), directives=late + "proxy_next_upstream off;",
         client=("abc", None), more=left)
    case("three fail, one is good", at_once("end"), says(raw.alert(40)), says(), whole())
    case("many fail at once, one is good", *[at_once("reset")] * 6, whole())
    case("one is good, each has a PROXY header", after_header(at_once("end")), after_header(says()),
         after_header(says(then="wait")), after_header(whole()), directives=late + "proxy_protocol on;", more=left)
    case("tries are over", at_once("end"), says(raw.alert(40)), whole(), directives="proxy_next_upstream_tries 2;",
         client=("abc", None))
    for version, name in ((ssl.TLSVersion.TLSv1, "TLSv1"), (ssl.TLSVersion.TLSv1_1, "TLSv1.1")):
        case(f"only {name}", whole(newest=version), client=("abc", None))
        case(f"only {name}, and allowed", whole(newest=version),
             directives=f"proxy_ssl_protocols {name}; proxy_ssl_ciphers ALL:@SECLEVEL=0;")


def afterwards():
    """What a server may do once the handshake is done. The client waits for the end."""
    until = dict(client=("abc", None))
    case("close_notify, both ways", whole(close_properly), **until)
    case("ends without close_notify", whole(), **until)
    case("resets", whole(resets), **until)
    case("ends in a record", whole(half_a_record), **until)
    case("bytes in clear", whole(adds(b"hello, this is no record at all")), **until)
    case("an alert in clear", whole(adds(raw.alert(40))), **until)
    case("a record that is spoilt", whole(adds(raw.record(raw.DATA, bytes(100)))), **until)
    case("a record that is too long, later", whole(adds(struct.pack(">BHH", 23, 0x0303, 20000) + bytes(20000))), **until)
    case("ChangeCipherSpec later", whole(adds(raw.record(20, b"\1"))), **until)
    case("empty records later", whole(adds(struct.pack(">BHH", 23, 0x0303, 0) * 100)), **until)
    for name in ("TLSv1_2", "TLSv1_3"):
        newest = getattr(ssl.TLSVersion, name)
        case(f"ends without close_notify, {name}", whole(newest=newest), **until)
        case(f"bytes in clear, {name}", whole(adds(b"hello, this is no record at all"), newest=newest), **until)
        case(f"HelloRequest in clear, {name}", whole(adds(shake(raw.message(0, b""))), newest=newest), **until)
    again = dict(client=("abc", 3, "def", 6))
    for count in (1, 30, -1, -30):
        case(f"keys change {count} times", count, **again)
    ends = {"got": ", end", "log": "200 0 3 3 0 0", "says": ["SSL_read() failed (SSL) while proxying and reading from "
                                                             "upstream"]}
    case("keys change 100 times", 100, instead=ends, **until)
    case("keys change 100 times, and ours have to", -100, instead=ends, **until)
    case("renegotiation", "renegotiates", client=("abc", 6), instead=ends)
    case("a thousand tickets", whole(tickets=1000))
    case("no ticket", whole(tickets=0))
    for place in (1, 2, 3, 4, 5, 6, 40, 90, 130, 200, 400, 600):
        case(f"split at {place}", whole(way=lambda data, place=place: slowly(split_at(place)(data))))


def spoilt():
    """One bit of what the server says, each time another; what the log says of it depends on the library. Byte 2 is the
    lower half of a version that means nothing, and only OpenSSL looks at it."""
    for newest, most in ((ssl.TLSVersion.TLSv1_2, 560), (ssl.TLSVersion.TLSv1_3, 700)):
        for place in [0, 1, 3, 4, 5, 6, 9, 10, *range(12, most, 23)]:
            case(f"a bit of byte {place}, {newest.name}", whole(way=spoilt_at(place), newest=newest), client=("abc", None),
                 compare=["got"], directives="proxy_connect_timeout 300ms;")


# ---- both servers ----

def configure(folder, cases):
    parts = [f"log_format hostile '$server_addr {LOG}'; access_log access.log hostile; proxy_ssl on;",
             "proxy_ssl_session_reuse off; proxy_ssl_protocols TLSv1.2 TLSv1.3;"]
    for at, one in enumerate(cases):
        servers = " ".join(f"server unix:{folder}/o{at}.{n} max_fails=0;" for n in range(len(one["behaviours"])))
        parts.append(f"upstream u{at} {{ {servers} }} server {{ listen unix:{folder}/f{at}; proxy_pass u{at}; "
                     f"{one['directives']} }}")
    return "\n".join(parts)


def converse(path, sends, waits, *more):
    got = b""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        try:
            client.connect(path)
            client.sendall(sends.encode())
            while waits is None or len(got) < waits:
                data = client.recv(1000)
                if not data:
                    break
                got += data
                if len(got) == waits and more:
                    client.sendall(more[0].encode())
                    waits, more = more[1], ()
            else:
                return got.decode(errors="backslashreplace")
        except socket.timeout:
            return got.decode(errors="backslashreplace") + ", nothing"
        except OSError:  # reset, or broken, as the bytes cross
            pass
        return got.decode(errors="backslashreplace") + ", end"


def converse_all(folder, cases):
    """A few at once, since most of them wait."""
    got, left = [None] * len(cases), iter(range(len(cases)))

    def work():
        for at in left:  # next() of it is atomic
            got[at] = converse(f"{folder}/f{at}", *cases[at]["client"])

    threads = [threading.Thread(target=work) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return got


def sentences(text):
    """By case: level and sentence of each line, without what differs by library."""
    found = {}
    for line in text.splitlines():
        match = FRAME.match(line)
        if match and not DULL.search(match[2]):
            said = re.sub(r"\(SSL: .*\)", "(SSL)", match[2])
            said = re.sub(r"(peer closed connection in SSL handshake) \(\d+: [^)]*\)", r"\1", said)
            found.setdefault(int(match[4]), []).append(said + (match[3] or ""))
    return found


def play(kind, folder, cases):
    build = os.path.join(ROOT, os.environ.get("SPCD_BUILD", "build"))
    server = Server(kind, folder, {name: f"{build}/{name}" for name in ("spcc", "spcd")})
    if not server.place(server.whole_config("", configure(folder, cases),
                                            {"workers": "1", "connections": "512", "level": "info"})):
        raise Failure(f"{kind} refuses it:\n{server.complaint}")
    for at in range(len(cases)):
        if os.path.exists(f"{folder}/f{at}"):
            os.unlink(f"{folder}/f{at}")
    try:
        server.start()
        got = converse_all(folder, cases)
        server.wait(lambda: server.read("access.log").count("\n") >= len(cases), 3)
    finally:
        server.end()
    fields = {}
    for line in server.read("access.log").splitlines():
        where, rest = line.split(" ", 1)
        fields[int(where.rsplit("/f", 1)[1])] = re.sub(rf"unix:{folder}/o\d+\.", "", rest)
    said = sentences(server.read("error.log"))
    for name in ("access", "error"):
        os.rename(f"{folder}/{name}.log", f"{folder}/{name}.{kind}")
    return [{"got": got[at], "log": fields.get(at), "says": said.get(at, [])} for at in range(len(cases))]


def main(wanted):
    talkative = "-v" in wanted
    wanted = [word for word in wanted if word != "-v"]
    for add in (handshake, stalls, afterwards, spoilt):
        add()
    cases = [one for one in CASES if not wanted or one["title"] in wanted]
    failed = 0
    with tempfile.TemporaryDirectory(prefix="spc-") as folder:
        os.chmod(folder, 0o755)
        context.path = folder + "/leaf.pem"
        with open(context.path, "wb") as file:
            file.write(der.pem("CERTIFICATE", LEAF.der))
        for at, one in enumerate(cases):
            for n, behaves in enumerate(one["behaviours"]):
                if behaves == "renegotiates":
                    Renegotiating(f"{folder}/o{at}.{n}")
                elif callable(behaves):
                    LocalOrigin(f"{folder}/o{at}.{n}", behaves)
        process = shows(folder, [(f"{folder}/o{at}.0", one["behaviours"][0], "ec-leaf", [LEAF])
                                 for at, one in enumerate(cases) if isinstance(one["behaviours"][0], int)])
        theirs, ours = play("nginx", folder, cases), play("spcd", folder, cases)
        process.communicate()
        for one, their, our in zip(cases, theirs, ours):
            expected = {**their, "says": their["says"] + one.get("more", []), **one.get("instead", {})}
            differ = [key for key in one.get("compare", their) if expected[key] != our[key]]
            failed += bool(differ)
            if differ:
                print(f"FAILED {one['title']}:")
                print("\n".join(f"    {key}: spcd {our[key]}\n    expected {expected[key]}" for key in differ))
            elif talkative:
                print(f"{one['title']}: {our}")
    print(f"{len(cases) - failed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Failure as failure:
        print(f"FAILED: {failure}\n0 passed, 1 failed")
        sys.exit(1)
