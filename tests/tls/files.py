#!/usr/bin/python3
"""Certificates, keys, authorities and lists of revoked ones, whole and spoilt, in every form: does `spcd -t` take what
`nginx -t` takes? Where they differ, the table says so. Last line: "N passed, N failed".
"""
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [ROOT + "/tests/engine", HERE]
sys.dont_write_bytecode = True

from origins import Authority, run  # noqa: E402
from tally import Tally  # noqa: E402

BUILD = os.path.join(ROOT, os.environ.get("SPCD_BUILD", "build"))
MARK = b"\xef\xbb\xbf"
CURVES = ("prime256v1", "secp384r1", "secp521r1")
NEITHER, BOTH, NGINX = "neither", "both", "nginx"  # who takes it


def read(folder, name):
    with open(f"{folder}/{name}", "rb") as file:
        return file.read()


def write(folder, name, content):
    with open(f"{folder}/{name}", "wb") as file:
        file.write(content)


def pem(kind, content):
    return f"-----BEGIN {kind}-----\n{content}\n-----END {kind}-----\n".encode()


def make_keys(folder):
    """The key rsa.key in every form that openssl writes; each with who takes it."""
    forms = {
        "p1": ("rsa", "-traditional"), "p1aes": ("rsa", "-traditional", "-aes256"),
        "p1des3": ("rsa", "-traditional", "-des3"), "p8": ("pkcs8", "-topk8", "-nocrypt"),
        "aes128": ("pkcs8", "-topk8", "-v2", "aes-128-cbc"), "aes192": ("pkcs8", "-topk8", "-v2", "aes-192-cbc"),
        "aes256": ("pkcs8", "-topk8", "-v2", "aes-256-cbc"), "des3": ("pkcs8", "-topk8", "-v2", "des-ede3-cbc"),
        "sha1": ("pkcs8", "-topk8", "-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA1"),
        "pkcs12": ("pkcs8", "-topk8", "-v1", "PBE-SHA1-3DES"), "der": ("rsa", "-outform", "DER"),
        "sha512": ("pkcs8", "-topk8", "-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA512"),
        "scrypt": ("pkcs8", "-topk8", "-scrypt"), "camellia": ("pkcs8", "-topk8", "-v2", "camellia-256-cbc"),
    }
    for name, (tool, *options) in forms.items():
        run("openssl", tool, *options, "-in", "rsa.key", "-out", f"{name}.key", "-passout", "pass:open sesame", cwd=folder)
        who = NEITHER if name == "der" else NGINX if name in ("sha512", "scrypt", "camellia") else BOTH
        yield f"a key as {name}", f"rsa.pem|{name}.key", who
    key = read(folder, "rsa.key")
    spoilt = {"crlf": key.replace(b"\n", b"\r\n"), "mark": MARK + key, "bag": b"Bag Attributes\n  localKeyID: 1\n" + key,
              "unended": key.rstrip(b"\n"), "behind": read(folder, "rsa.pem") + key}
    for name, content in spoilt.items():
        write(folder, name + ".key", content)
        yield f"a key, {name}", f"rsa.pem|{name}.key", BOTH
    write(folder, "cut.key", key[:len(key) // 2])
    yield "a key that is cut off", "rsa.pem|cut.key", NEITHER
    yield "a key of another kind", f"rsa.pem|{CURVES[0]}.key", NGINX  # which then shows no certificate


def make_curves(folder):
    for curve in CURVES:
        run("openssl", "ecparam", "-name", curve, "-genkey", "-out", f"{curve}.key", cwd=folder)
        run("openssl", "req", "-x509", "-key", f"{curve}.key", "-out", f"{curve}.pem", "-subj", "/CN=x", cwd=folder)
        forms = {"sec1": (), "locked": ("-aes128", "-passout", "pass:open sesame"), "compressed": ("-conv_form", "compressed"),
                 "explicit": ("-param_enc", "explicit"), "alone": ("-no_public",)}
        yield f"{curve}, behind its parameters", f"{curve}.pem|{curve}.key", BOTH
        for name, options in forms.items():
            run("openssl", "ec", "-in", f"{curve}.key", *options, "-out", f"{curve}.{name}", cwd=folder)
            yield f"{curve}, {name}", f"{curve}.pem|{curve}.{name}", BOTH
    run("openssl", "genpkey", "-algorithm", "ed25519", "-out", "ed.key", cwd=folder)
    run("openssl", "req", "-x509", "-key", "ed.key", "-out", "ed.pem", "-subj", "/CN=x", cwd=folder)
    run("openssl", "pkcs8", "-topk8", "-in", "ed.key", "-passout", "pass:open sesame", "-out", "ed.locked", cwd=folder)
    yield "Ed25519", "ed.pem|ed.key", BOTH
    yield "Ed25519, locked", "ed.pem|ed.locked", BOTH


def make_certificates(folder):
    one = read(folder, "rsa.pem")
    run("openssl", "x509", "-in", "rsa.pem", "-trustout", "-out", "trusted.pem", cwd=folder)
    run("openssl", "x509", "-in", "rsa.pem", "-outform", "der", "-out", "der.pem", cwd=folder)
    run("openssl", "crl2pkcs7", "-nocrl", "-certfile", "rsa.pem", "-out", "p7.pem", cwd=folder)
    good = {"crlf": one.replace(b"\n", b"\r\n"), "mark": MARK + one, "text": one + b"nothing\n", "twice": one + one,
            "crl": one + read(folder, "ca.crl"), "key": read(folder, "rsa.key") + one,
            "rubbish": one + pem("RUBBISH", "AAAA"), "trusted": read(folder, "trusted.pem")}
    bad = {"half": one + one[:len(one) // 2], "none": one + pem("CERTIFICATE", "AAAA"),
           "letters": one + pem("CERTIFICATE", "!!!!"), "cut": one[:len(one) // 2], "line": one.replace(b"\n", b""),
           "empty": b"", "der": read(folder, "der.pem"), "p7": read(folder, "p7.pem")}
    for name, content in (good | bad).items():
        write(folder, f"{name}.pem", content)
        who = BOTH if name in good else NEITHER
        yield f"a certificate, {name}", f"{name}.pem|rsa.key", who
        yield f"authorities, {name}", f"{name}.pem", who


def make_lists(folder):
    one, certificate = read(folder, "ca.crl"), read(folder, "ca.pem")
    good = {"itself": one, "twice": one + one, "mark": MARK + one, "text": one + b"nothing\n", "mixed": certificate + one}
    bad = {"half": one + one[:len(one) // 2], "none": one + pem("X509 CRL", "AAAA"), "letters": one + pem("X509 CRL", "!!!!"),
           "cut": one[:len(one) // 2], "empty": b""}
    for name, content in (good | bad).items():
        write(folder, f"{name}.crl", content)
        yield f"revoked ones, {name}", f"ca.pem||{name}.crl", BOTH if name in good else NEITHER
    yield "revoked ones, none but an authority", "ca.pem||ca.pem", NGINX  # which then refuses every server


def make(folder):
    ca = Authority(folder)
    ca.issue("rsa", "x.example", "extendedKeyUsage=clientAuth\n")
    write(folder, "words", b"wrong\n\nopen sesame")
    write(folder, "ca.conf", b"[ca]\ndefault_ca=d\n[d]\ndatabase=index\ncrlnumber=number\ndefault_md=sha256\n"
                             b"default_crl_days=9\n")
    write(folder, "index", b"")
    write(folder, "number", b"01\n")
    run("openssl", "ca", "-config", "ca.conf", "-keyfile", "ca.key", "-cert", "ca.pem", "-gencrl", "-out", "ca.crl", cwd=folder)
    for make_some in (make_curves, make_keys, make_certificates, make_lists):
        yield from make_some(folder)


def directives(files):
    if "||" in files:
        return "proxy_ssl_verify on; proxy_ssl_trusted_certificate %s; proxy_ssl_crl %s;" % tuple(files.split("||"))
    if "|" in files:
        return ("proxy_ssl_certificate %s; proxy_ssl_certificate_key %s; proxy_ssl_password_file words;" %
                tuple(files.split("|")))
    return f"proxy_ssl_verify on; proxy_ssl_trusted_certificate {files};"


def test(folder, files):
    """Who takes it, and what spcd says."""
    stream = (f"stream {{ server {{ listen 127.0.0.1:19999; proxy_pass 127.0.0.1:1; proxy_ssl on;\n{directives(files)} }} }}\n")
    write(folder, "test.conf", stream.encode())
    write(folder, "nginx.conf", ("load_module /usr/lib/nginx/modules/ngx_stream_module.so; pid n.pid; error_log stderr;\n"
                                 "events {}\n" + stream).encode())
    theirs = subprocess.run(["nginx", "-t", "-p", folder, "-c", folder + "/nginx.conf"], capture_output=True, check=False,
                            stdin=subprocess.DEVNULL)
    run(BUILD + "/spcc", "-o", "test.spcb", "test.conf", cwd=folder)
    ours = subprocess.run([BUILD + "/spcd", "-t", "-p", folder, folder + "/test.spcb"], capture_output=True, text=True,
                          check=False, stdin=subprocess.DEVNULL)
    who = {(0, 0): BOTH, (0, 1): NGINX, (1, 1): NEITHER}.get((theirs.returncode, ours.returncode), "spcd alone")
    return who, ours.stderr


def main():
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="spc-") as folder:
        for name, files, expected in make(folder):
            who, said = test(folder, files)
            named = expected == BOTH or re.search(r"\(test\.conf:2\)", said)
            tally.check(who == expected and named, f"{name}: {who}, not {expected}: {said}")
    return tally.end()


if __name__ == "__main__":
    sys.exit(main())
