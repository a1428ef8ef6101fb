#!/usr/bin/python3
"""What only the machine can tell, on request: --check-files, --check-certs, --check-dns; and nothing without them.

The keys in files/ are made for this test and protect nothing. They are copied, since what may read them is part of it.
Prints one paragraph a failure and, last, "N passed, N failed".
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SPCC = os.path.abspath(os.environ.get("SPCC", os.path.join(ROOT, os.environ.get("SPCD_BUILD", "build"), "spcc")))
OURS = re.compile(r"^(\S+?):(\d+):\d+: (\w+): .*\[(SP006|SP330|SP509|SP510) ([a-z-]+)\]$", re.M)

CERTIFICATES = """
11 warning SP510 uncovered-name
16 warning SP510 certificate-over
17 error SP510 key-mismatch
22 warning SP510 certificate-early
23 error SP510 bad-key
28 error SP510 bad-certificate
40 error SP510 locked-key
46 error SP510 locked-key
47 warning SP510 certificate-over
67 error SP510 key-mismatch
"""
FILES = """
23 warning SP509 open-secret
29 error SP006 missing-file
35 warning SP509 open-secret
"""
NAMES = """
3 warning SP330 unresolved-name
8 warning SP330 unresolved-name
"""


def found(folder, file, *options):
    """Our findings, "line severity code name" each."""
    done = subprocess.run([SPCC, "check", "--format=gcc", *options, file], cwd=folder, capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode in (0, 1), done
    assert "Sanitizer" not in done.stderr, done.stderr
    return [" ".join(match[1:]) for match in OURS.findall(done.stdout)]


def wanted(text, only=""):
    return [line for line in text.strip().split("\n") if only in line]


def copy(folder):
    shutil.copytree(HERE, folder, dirs_exist_ok=True)
    for name in os.listdir(folder + "/files"):
        os.chmod(f"{folder}/files/{name}", 0o600)
    os.chmod(folder + "/files/empty.pem", 0o644)  # named as a key too
    os.chmod(folder + "/files/passwords", 0o640)
    os.chmod(folder + "/files/ca.pem", 0o644)  # is no secret


def without_file(folder):
    os.remove(folder + "/files/good.pem")
    return found(folder, "servers.conf", "--check-certs")


def cases(folder):
    yield "nothing is looked at unless asked for", found(folder, "servers.conf", "-W"), []
    yield "no name is asked for unless wanted", found(folder, "names.conf", "-W", "--check-files", "--check-certs"), []
    yield "certificates", found(folder, "servers.conf", "--check-certs"), wanted(CERTIFICATES)
    yield "files", found(folder, "servers.conf", "--check-files"), wanted(FILES)
    yield "names", found(folder, "names.conf", "--check-dns"), wanted(NAMES)
    yield "from elsewhere", found("/", f"{folder}/servers.conf", "--check-files"), wanted(FILES)
    compiled = subprocess.run([SPCC, "--check-certs", "-o", "/dev/null", "names.conf"], cwd=folder, timeout=60,
                              capture_output=True, text=True, check=False)
    yield "a compilation looks as well", compiled.returncode, 0
    yield "a file that is gone", [line for line in without_file(folder) if line.startswith("2 ")], ["2 error SP006 missing-file"]


def main():
    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix="spc-") as folder:
        copy(folder)
        for name, seen, expected in cases(folder):
            passed, failed = passed + (seen == expected), failed + (seen != expected)
            if seen != expected:
                print(f"FAILED {name}\n    expected {expected}\n    seen     {seen}")
    print(f"{passed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
