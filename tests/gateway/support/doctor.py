"""`vestibule doctor`, run and understood."""

import json
import time

from support.gateway import run

HTML = "Content-Type: text/html"


class Look:
    """One run of doctor with `--json`, understood."""

    def __init__(self, url, *arguments):
        began = time.monotonic()
        self.done = run("doctor", url, "--json", *arguments, check=False)
        self.took = time.monotonic() - began
        assert self.done.returncode in (0, 1), self.done.stderr
        self.report = json.loads(self.done.stdout)
        self.checks = {check["check"]: check for check in self.report["checks"]}

    def named(self, status):
        return {name for name, check in self.checks.items() if check["status"] == status}

    def evidence(self, name):
        return self.checks[name]["evidence"]


def recipe(folder, text):
    file = folder / "recipe.yaml"
    file.write_text(text)
    (folder / "password").write_text("nora-keeps-notes\n")
    return file
