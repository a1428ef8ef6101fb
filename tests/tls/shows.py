#!/usr/bin/python3
"""TLS servers that show any certificate, however broken: BoringSSL as a server does not look into what it shows.

Standard input, one line for each: the path of a unix socket, how often its keys change before it answers (-N: and those
of the client have to), the path of its key (PEM), and those of the chain (DER). When all listen, a line is printed. They
give back what they get, backwards, until standard input ends. Neither ssl nor hashlib must be imported here: their
OpenSSL and BoringSSL cannot live in one process.
"""
import ctypes
import socket
import sys
import threading

LIBRARIES = "/usr/lib/x86_64-linux-gnu/android/"
crypto = ctypes.CDLL(LIBRARIES + "libcrypto.so.0", ctypes.RTLD_GLOBAL)
tls = ctypes.CDLL(LIBRARIES + "libssl.so.0")
for library, names in ((crypto, ["BIO_new_mem_buf", "PEM_read_bio_PrivateKey", "CRYPTO_BUFFER_new"]),
                       (tls, ["TLS_with_buffers_method", "SSL_CTX_new", "SSL_new"])):
    for name in names:
        getattr(library, name).restype = ctypes.c_void_p


def context(key, chain):
    with open(key, "rb") as file:
        text = file.read()
    bio = ctypes.c_void_p(crypto.BIO_new_mem_buf(text, len(text)))
    secret = ctypes.c_void_p(crypto.PEM_read_bio_PrivateKey(bio, None, None, None))
    buffers = (ctypes.c_void_p * len(chain))()
    for at, path in enumerate(chain):
        with open(path, "rb") as file:
            der = file.read()
        buffers[at] = crypto.CRYPTO_BUFFER_new(der, ctypes.c_size_t(len(der)), None)
    made = ctypes.c_void_p(tls.SSL_CTX_new(ctypes.c_void_p(tls.TLS_with_buffers_method())))
    if not tls.SSL_CTX_set_chain_and_key(made, buffers, ctypes.c_size_t(len(chain)), secret, None):
        raise SystemExit(f"{chain[0]} cannot be shown even by BoringSSL")
    return made


def serve(made, updates, client):
    stream = ctypes.c_void_p(tls.SSL_new(made))
    tls.SSL_set_fd(stream, client.fileno())
    data = ctypes.create_string_buffer(100)
    if tls.SSL_accept(stream) == 1:
        while (got := tls.SSL_read(stream, data, 100)) > 0:
            for _ in range(abs(updates)):
                tls.SSL_key_update(stream, updates < 0)
                tls.SSL_write(stream, b"", 0)  # so that it is sent, and does not join the next
            tls.SSL_write(stream, data.raw[:got][::-1], got)
    tls.SSL_free(stream)
    client.close()


def accept(made, updates, listener):
    while True:
        client, _ = listener.accept()
        threading.Thread(target=serve, args=(made, updates, client), daemon=True).start()


def main():
    for line in sys.stdin:
        if not line.strip():
            break
        path, updates, key, *chain = line.split()
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(16)
        threading.Thread(target=accept, args=(context(key, chain), int(updates), listener), daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
