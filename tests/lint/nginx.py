#!/usr/bin/python3
"""Does the second line of each of these configurations tell what Debian's nginx says of it?

    tests/lint/nginx.py [CASE.conf]...

The line is "# nginx 1.22: accepted", "# nginx 1.22: refused: MESSAGE", or "# nginx 1.22: not run: WHY". A folder made
for the run holds the certificate, key and ticket key that the configurations name; what they would log stays in it too.
Prints what differs and, last, "N passed, M failed". Without nginx, or root's rights, all are skipped.
"""
import concurrent.futures
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"
VERDICT = re.compile(r"# nginx 1\.22: (.*)")
MESSAGE = re.compile(r"^(?:nginx: |.*?)\[(emerg|warn)\] (?:\d+#\d+: )?(.*?)(?: in \S+:\d+)?$", re.MULTILINE)


def make_folder(folder):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=a.example", "-keyout", folder + "/key.pem", "-out", folder + "/cert.pem"],
        check=True, capture_output=True,
    )
    with open(folder + "/ticket.key", "wb") as file:
        file.write(os.urandom(80))
    os.mkdir(folder + "/log")
    shutil.copytree(HERE + "/servers", folder + "/servers")


def verdict(folder, path):
    """What nginx says, as the second line of path should have it."""
    name = os.path.basename(path)
    with open(path, encoding="utf-8") as file:
        text = file.read().replace("/var/log/", folder + "/log/")
    with open(f"{folder}/{name}", "w", encoding="utf-8") as file:
        file.write(f"load_module {MODULE};\npid {folder}/{name}.pid;\n" + text)
    done = subprocess.run(
        ["nginx", "-t", "-q", "-e", "stderr", "-p", folder, "-c", name],
        cwd=folder, capture_output=True, encoding="utf-8", timeout=60, check=False,
    )
    message = MESSAGE.search(done.stderr)
    if message is None:
        return "accepted" if done.returncode == 0 else "refused: " + done.stderr
    return ("refused: " if message[1] == "emerg" else "warned: ") + message[2]


def judge(folder, path):
    """None, or what is wrong with the second line."""
    with open(path, encoding="utf-8") as file:
        wanted = VERDICT.fullmatch(file.readlines()[1].rstrip("\n"))
    if wanted is None:
        return "the second line does not tell what nginx 1.22 says"
    if wanted[1].startswith("not run: "):
        return None
    seen = verdict(folder, path)
    return None if seen == wanted[1] else f"told: {wanted[1]}\n    seen: {seen}"


def main():
    paths = [os.path.abspath(path) for path in sys.argv[1:]] or sorted(glob.glob(HERE + "/*.conf"))
    if shutil.which("nginx") is None or not os.path.exists(MODULE):
        print(f"there is no nginx with stream\n0 passed, 0 failed, {len(paths)} skipped")
        return 0
    if os.geteuid() != 0:
        print(f"nginx -t binds ports below 1024\n0 passed, 0 failed, {len(paths)} skipped")
        return 0
    failed = 0
    with tempfile.TemporaryDirectory(prefix="spc-") as folder, concurrent.futures.ThreadPoolExecutor(2) as pool:
        make_folder(folder)
        for path, wrong in zip(paths, pool.map(lambda one: judge(folder, one), paths)):
            if wrong is not None:
                failed += 1
                print(f"FAILED {os.path.relpath(path, os.path.dirname(os.path.dirname(HERE)))}\n    {wrong}")
    print(f"{len(paths) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
