"""First packets of a connection, made up at random from a seed: ClientHellos of many shapes, other protocols, and what
becomes of both when bytes change, go missing or come twice."""
import random
import struct

TEXTS = [b"SSH-2.0-OpenSSH_9.2\r\n", b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", b"\0\0\0\x08\x04\xd2\x16\x2f", b"", b"\x16",
         b"EHLO a.example\r\nSTARTTLS\r\n", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", b"\x10\x0c\0\4MQTT\4\2\0\0\0\0",
         b"\x16\x02\0\0\5hello", b"\x15\3\1\0\2\2\x28", b"\x16\3\1\0\0", b"\x16\3\1\0\4\1\0\0\0", b"\x80\x2e\1\0\2", b"\x80\x2e\1\3\1"]
NAMES = [b"", b"a", b"www.Example.com", b"A.EXAMPLE.", b"x" * 63 + b".example", b"*.example", b"1.2.3.4", b"a\0b", b"a b\"c\\",
         b"xn--bcher-kva.example", b"\xc3\xa9.example", b"n" * 255, b".", b"a..b"]
PROTOCOLS = [b"h2", b"http/1.1", b"h3", b"imap", b"a,b", b"\0", b"p" * 255, b"x\"y"]


def begun(length, extensions):
    """A ClientHello that says that it has so many bytes of extensions, and ends with these."""
    body = b"\3\3" + bytes(32) + b"\0" + b"\0\2\x13\1" + b"\1\0" + length.to_bytes(2, "big")
    message = b"\1" + (len(body) + length).to_bytes(3, "big") + body + extensions
    return b"\x16\3\1" + len(message).to_bytes(2, "big") + message


# Is it judged, or is there more to wait for?
TEXTS += [begun(64, b"\0\0\xff\xff\0"), begun(64, b"\0\x10\0\2\0\0"), begun(64, b"\0\0\0\2\0\0"), begun(6, b"\0\x17\0\0\0\x33"),
          begun(64, b"\0\0\0\3\0\1\1"), begun(64, b"\0\x2b\0\1\0"), begun(64, b"\0\x10\0\4\0\2\2")]
INTERESTING = [0, 1, 2, 3, 4, 0x16, 0x2b, 0x7f, 0x80, 0xff]


class Packets:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.lies = 0  # the share of lengths that are wrong

    def vector(self, size, data):
        """A length and what it counts."""
        length = len(data)
        if self.random.random() < self.lies:
            length = self.random.choice([0, 1, length + 1, length + 2, max(0, length - 1), 2 * length, 128, 65535]) & 256 ** size - 1
        return length.to_bytes(size, "big") + data

    def server_name(self):
        pick = self.random
        name = pick.choice(NAMES)
        entry = (b"\0" if pick.random() < 0.95 else b"\1") + self.vector(2, name)
        if pick.random() < 0.1:  # a list of two
            entry += b"\0" + self.vector(2, b"second.example")
        return 0, self.vector(2, entry)

    def alpn(self):
        names = self.random.choices(PROTOCOLS, k=self.random.choice([0, 1, 1, 2, 2, 3, 3]))
        return 16, self.vector(2, b"".join(self.vector(1, name) for name in names))

    def versions(self):
        return 43, self.vector(1, b"".join(self.random.sample([b"\3\4", b"\3\3", b"\3\1", b"\x1a\x1a"], self.random.choice([0, 1, 2, 2, 3, 4]))))

    def extensions(self):
        """In any order, some twice, some large: a hybrid key share has 1,216 bytes, padding more."""
        pick, list_ = self.random, []
        for maker, chance in ((self.server_name, 0.85), (self.alpn, 0.6), (self.versions, 0.6), (self.server_name, 0.04), (self.alpn, 0.04)):
            if pick.random() < chance:
                list_.append(maker())
        for _ in range(pick.randint(0, 4)):
            list_.append((pick.choice([10, 11, 13, 23, 35, 51, 65281, 0x0a0a] * 4 + [16, 43]), pick.randbytes(pick.choice([0, 2, 30]))))
        if pick.random() < 0.3:
            list_.append((51, pick.randbytes(pick.choice([1220, 1260, 2500]))))
        if pick.random() < 0.05:
            list_.append((21, bytes(pick.choice([4000, 15000, 17000]))))
        pick.shuffle(list_)
        return b"".join(struct.pack(">H", kind) + self.vector(2, data) for kind, data in list_)

    def hello(self):
        """The handshake message of TLS 1.0 to 1.3."""
        pick = self.random
        body = pick.choice([b"\3\0", b"\3\1", b"\3\2", b"\3\3", b"\3\3", b"\3\4", b"\3\5", b"\0\2", b"\2\3"]) + pick.randbytes(32)
        body += self.vector(1, pick.randbytes(pick.choice([0, 32]))) + self.vector(2, pick.randbytes(2 * pick.choice([1, 16, 60])))
        body += self.vector(1, b"\0")
        if pick.random() < 0.93:
            body += self.vector(2, self.extensions())
        return b"\1" + self.vector(3, body)

    def records(self, message):
        """The message in records, as many as may be."""
        pick, out = self.random, b""
        most = pick.choice([16384, 16384, 16384, 500, 60, 7, 1]) if len(message) < 3000 else pick.choice([16384, 5000])
        while message:
            size = most if pick.random() < 0.8 else pick.randint(0, most)
            out += bytes([0x16, 3, pick.choice([1, 1, 3, 0])]) + self.vector(2, message[:size])
            message = message[size:]
        return out

    def spoil(self, data):
        """Some bytes other than they were, most of them among the lengths and types of the beginning."""
        pick, data = self.random, bytearray(data)
        for _ in range(pick.choice([1, 1, 1, 2, 3, 8])):
            at = min(int(pick.expovariate(1 / pick.choice([10, 60, 400]))), max(0, len(data) - 1))
            what = pick.randint(0, 6)
            if what == 0 or not data:
                data = data[:at]
            elif what == 1:
                data[at] = pick.choice(INTERESTING)
            elif what == 2:
                data[at] ^= 1 << pick.randint(0, 7)
            elif what == 3:
                data[at] = (data[at] + pick.choice([1, -1])) & 255
            elif what == 4:
                del data[at:at + pick.randint(1, 4)]
            elif what == 5:
                data[at:at] = pick.choice([b"\0", b"\xff\xff", b"\x80\x2e\1\3\1", b"\x16\3\1\0\0", pick.randbytes(3)])
            else:
                data[at:at] = data[max(0, at - 20):at]
        return bytes(data)

    def unfinished(self):
        """The beginning of a small message, some of whose lengths are wrong: is it judged now, or is there more to wait for?"""
        self.lies = self.random.choice([0, 0.1, 0.2, 0.3])
        message = self.hello()
        while len(message) > 260:
            message = self.hello()
        self.lies = 0
        return self.records(message[:self.random.randint(40, len(message))])

    def packet(self):
        pick, kind = self.random, self.random.random()
        if kind < 0.05:
            return pick.choice(TEXTS)
        if kind < 0.08:
            return self.spoil(pick.choice(TEXTS))
        if kind < 0.11:
            return pick.randbytes(pick.randint(0, 300))
        if kind < 0.25:
            return self.unfinished()
        data = self.records(self.hello())
        if kind < 0.5:
            data = self.spoil(data)
        elif kind < 0.55:  # another record behind one that ends early
            data = data[:pick.randint(5, len(data))] + pick.choice([b"\x80\x2e\1\3\3", b"\x15\3\1\0\2\2\x28", b"\x16\3\1\0\4\1\0\0\0", b"\x16\3\1"])
        return data + (pick.randbytes(pick.choice([1, 50, 1000])) if pick.random() < 0.2 else b"")
