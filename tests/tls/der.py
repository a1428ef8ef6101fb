"""Certificates and lists of revoked ones as no tool would make them: every field as it is asked for, right or wrong.

DER is written here; only keys and signatures come from the openssl command, and both are kept in a folder, under the
digest of what was signed: so a second run makes nothing.
"""
import hashlib
import os
import subprocess

EARLY, EARLIER, LATE = "20200101000000Z", "20210101000000Z", "20480101000000Z"
NEVER = "20490101000000Z"

KEY_KINDS = {
    "ec": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"], "p384": ["EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "p521": ["EC", "-pkeyopt", "ec_paramgen_curve:P-521"], "p224": ["EC", "-pkeyopt", "ec_paramgen_curve:P-224"],
    "k256": ["EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"], "ed25519": ["ED25519"], "ed448": ["ED448"],
    "rsa512": ["RSA", "-pkeyopt", "rsa_keygen_bits:512"], "rsa1024": ["RSA", "-pkeyopt", "rsa_keygen_bits:1024"],
    "rsa2048": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"], "pss": ["RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"],
}
EC_SIGNATURES = {"sha1": "1.2.840.10045.4.1", "sha224": "1.2.840.10045.4.3.1", "sha256": "1.2.840.10045.4.3.2",
                 "sha384": "1.2.840.10045.4.3.3", "sha512": "1.2.840.10045.4.3.4"}
RSA_SIGNATURES = {"md5": "1.2.840.113549.1.1.4", "sha1": "1.2.840.113549.1.1.5", "sha256": "1.2.840.113549.1.1.11",
                  "sha512": "1.2.840.113549.1.1.13"}
USAGES = {"signature": 0, "encipherment": 2, "agreement": 4, "certificates": 5, "lists": 6}
PURPOSES = {"server": "1.3.6.1.5.5.7.3.1", "client": "1.3.6.1.5.5.7.3.2", "code": "1.3.6.1.5.5.7.3.3",
            "any": "2.5.29.37.0", "netscape": "2.16.840.1.113730.4.1",
            "microsoft": "1.3.6.1.4.1.311.10.3.3"}

folder = None  # where keys and signatures are kept


# ---- DER ----

def tlv(tag, *parts):
    body = b"".join(parts)
    size = len(body)
    if size < 128:
        return bytes([tag, size]) + body
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 128 | len(digits)]) + digits + body


def sequence(*parts):
    return tlv(0x30, *parts)


def integer(number):
    return tlv(2, number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True))


def oid(text):
    first, second, *rest = (int(part) for part in text.split("."))
    body = b""
    for number in [first * 40 + second, *rest]:
        digits = [number & 127]
        while number := number >> 7:
            digits.append(number & 127 | 128)
        body += bytes(reversed(digits))
    return tlv(6, body)


def bits(numbers):
    most = max(numbers)
    value = bytearray(most // 8 + 1)
    for number in numbers:
        value[number // 8] |= 128 >> number % 8
    return tlv(3, bytes([7 - most % 8]), bytes(value))


def time(text):
    """UTCTime until 2049, as RFC 5280 wants it."""
    return tlv(0x17, text[2:].encode()) if text < "2050" else tlv(0x18, text.encode())


def name(*parts):
    """Of "CN=x", "O=y"; bytes stand for the whole Name."""
    kinds = {"CN": "2.5.4.3", "O": "2.5.4.10"}
    return sequence(*(tlv(0x31, sequence(oid(kinds[kind]), tlv(0x0c, text.encode())))
                      for kind, text in (part.split("=", 1) for part in parts)))


# ---- extensions ----

def extension(number, value, critical=False):
    return sequence(oid(number), tlv(1, b"\xff") if critical else b"", tlv(4, value))


def basic(authority, most=None, critical=True):
    return extension("2.5.29.19", sequence(tlv(1, b"\xff") if authority else b"", b"" if most is None else integer(most)),
                     critical)


def usage(*names):
    return extension("2.5.29.15", bits([USAGES[one] for one in names]), True)


def purpose(*names, critical=False):
    return extension("2.5.29.37", sequence(*(oid(PURPOSES[one]) for one in names)), critical)


def general(text):
    """A GeneralName: DNS:, IP: (hex), DIR:CN=, URI:, MAIL:"""
    kind, value = text.split(":", 1)
    if kind == "DIR":
        return tlv(0xa4, name(value))
    tag = {"MAIL": 0x81, "DNS": 0x82, "URI": 0x86, "IP": 0x87}[kind]
    return tlv(tag, bytes.fromhex(value) if kind == "IP" else value.encode())


def also(*names, critical=False):
    return extension("2.5.29.17", sequence(*(general(one) for one in names)), critical)


def constraints(permitted=(), excluded=(), critical=True):
    def trees(tag, names):
        return tlv(tag, *(sequence(general(one)) for one in names)) if names else b""
    return extension("2.5.29.30", sequence(trees(0xa0, permitted), trees(0xa1, excluded)), critical)


# ---- keys and signatures ----

def openssl(*words, given=b""):
    return subprocess.run(["openssl", *words], input=given, check=True, capture_output=True).stdout


def kept(name_, make):
    path = os.path.join(folder, name_)
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        data = make()
    with open(path + ".new", "wb") as file:
        file.write(data)
    os.rename(path + ".new", path)
    return data


def key_file(key):
    """"ec-root": a key of the kind ec."""
    kept(key + ".key", lambda: openssl("genpkey", "-algorithm", *KEY_KINDS[key.split("-")[0]]))
    return os.path.join(folder, key + ".key")


def public(key):
    path = key_file(key)
    return kept(key + ".pub", lambda: openssl("pkey", "-in", path, "-pubout", "-outform", "DER"))


def algorithm(key, digest):
    kind = key.split("-")[0]
    if kind == "ed25519":
        return sequence(oid("1.3.101.112"))
    if kind == "pss":
        sha = sequence(oid("2.16.840.1.101.3.4.2.1"), tlv(5))
        mask = sequence(oid("1.2.840.113549.1.1.8"), sha)
        return sequence(oid("1.2.840.113549.1.1.10"),
                        sequence(tlv(0xa0, sha), tlv(0xa1, mask), tlv(0xa2, integer(32))))
    if kind.startswith("rsa"):
        return sequence(oid(RSA_SIGNATURES[digest]), tlv(5))
    return sequence(oid(EC_SIGNATURES[digest]))


def sign(key, digest, data):
    kind, path = key.split("-")[0], key_file(key)
    tag = hashlib.sha256(b"\0".join((public(key), digest.encode(), data))).hexdigest()
    if kind == "ed25519":
        def make():
            with open(os.path.join(folder, tag + ".in"), "wb") as file:
                file.write(data)
            return openssl("pkeyutl", "-sign", "-rawin", "-inkey", path, "-in", file.name)
    else:
        more = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"] if kind == "pss" else []

        def make():
            return openssl("dgst", "-" + digest, "-sign", path, *more, given=data)
    return kept(tag + ".sig", make)


def sealed(body, key, digest, outer=None, spoilt=False):
    signature = bytearray(sign(key, digest, body))
    if spoilt:
        signature[-1] ^= 1
    return sequence(body, outer or algorithm(key, digest), tlv(3, b"\0", bytes(signature)))


# ---- certificates ----

class Certificate:
    """issuer None: it signs itself. by: the key that signs, if it is not the issuer's."""

    def __init__(self, subject, key, issuer=None, extensions=(), **odd):
        self.subject = subject if isinstance(subject, bytes) else name(*subject)
        self.key, self.serial = key, odd.get("serial", 17)
        by = odd.get("by", issuer.key if issuer else key)
        digest, version = odd.get("digest", "sha256"), odd.get("version", 2)
        body = sequence(
            tlv(0xa0, integer(version)) if version else b"", integer(self.serial), algorithm(by, digest),
            odd.get("issued_by", issuer.subject if issuer else self.subject),
            sequence(time(odd.get("begins", EARLY)), time(odd.get("ends", NEVER))), self.subject, public(key),
            tlv(0xa3, sequence(*extensions)) if extensions else b"")
        self.der = sealed(body, by, digest, odd.get("outer"), odd.get("spoilt", False))


class Revoked:
    """A list by issuer of serial numbers."""

    def __init__(self, issuer, *serials, **odd):
        by, digest = odd.get("by", issuer.key), odd.get("digest", "sha256")
        began = time(odd.get("begins", EARLY))
        entries = [sequence(integer(serial), began, *odd.get("entry", ())) for serial in serials]
        body = sequence(integer(1), algorithm(by, digest), issuer.subject, began,
                        time(odd.get("ends", NEVER)) if odd.get("ends") != "" else b"",
                        sequence(*entries) if entries else b"",
                        tlv(0xa0, sequence(extension("2.5.29.20", integer(1)), *odd.get("extensions", ()))))
        self.der = sealed(body, by, digest, spoilt=odd.get("spoilt", False))


def pem(kind, der):
    import base64
    return f"-----BEGIN {kind}-----\n".encode() + base64.encodebytes(der) + f"-----END {kind}-----\n".encode()
