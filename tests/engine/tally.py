"""The count of a suite that is a program of its own: each check passes or fails, with a name; the last line is the sum."""


class Tally:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, good, name):
        self.passed += bool(good)
        self.failed += not good
        if not good:
            print(f"FAILED {name}", flush=True)

    def end(self):
        """The exit status."""
        print(f"{self.passed} passed, {self.failed} failed")
        return self.failed != 0
