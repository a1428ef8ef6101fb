"""TLS by hand: what a server of TLS 1.2 says in clear, until it would have to know cryptography."""
import os
import struct

HANDSHAKE, ALERT, DATA = 22, 21, 23
ECDHE_ECDSA = 0xc02b  # with AES-128-GCM


def record(kind, data, version=0x0303):
    return b"".join(struct.pack(">BHH", kind, version, len(part)) + part
                    for part in (data[at:at + 16384] for at in range(0, max(len(data), 1), 16384)))


def message(kind, body):
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


def server_hello(cipher=ECDHE_ECDSA, version=0x0303, extensions=b"\xff\x01\x00\x01\x00"):
    body = struct.pack(">H", version) + os.urandom(32) + b"\0" + struct.pack(">HB", cipher, 0)
    return message(2, body + struct.pack(">H", len(extensions)) + extensions)


def certificates(*chain):
    listed = b"".join(len(one).to_bytes(3, "big") + one for one in chain)
    return message(11, len(listed).to_bytes(3, "big") + listed)


def alert(number, level=2):
    return record(ALERT, bytes([level, number]))


def take(client, size):
    data = b""
    while len(data) < size:
        more = client.recv(size - len(data))
        if not more:
            raise OSError("it ended")
        data += more
    return data


def take_record(client):
    kind, _, size = struct.unpack(">BHH", take(client, 5))
    return kind, take(client, size)
