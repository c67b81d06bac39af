#!/usr/bin/env python3
"""Runs the programs that `cargo test --no-run` has built, several at a time: most of their time they wait for brokers.

    built=$(cargo test --workspace --no-run --message-format=json-render-diagnostics) && scripts/run_tests.py <<<"$built"

What one prints is shown whole once it ends. Ends with 1 where one has failed, after all have run. ISOMIRROR_TEST_JOBS says how many
run at a time (2), RUST_TEST_THREADS how many tests of each (3).
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# The slowest, which begin first, so that none is left over at the end; every other one follows.
SLOWEST = [
    "exact", "data", "switchover", "audit", "exact, records", "life", "cutover", "one_by_one", "dual", "data, records",
    "pinned-producer: brokers", "cluster-admin: hang",
]
# What shows how the source is read, with the engine that is not the default, too. All of it with that one:
# ISOMIRROR__ENGINE=records scripts/test --test data --test exact
RECORDS = {
    "data": ["fidelity::", "lanes::", "metrics::", "sizes::", "sources::"],
    "exact": ["kills::"],
    "one_by_one": ["pause::"],
}
PR_SET_PDEATHSIG = 1


class Job:
    """A program, and how it is run."""

    def __init__(self, name, command, folder, more=None):
        self.name, self.command, self.folder = name, command, folder
        self.environment = {**os.environ, **(more or {})}
        self.environment.setdefault("RUST_TEST_THREADS", "3")

    def rank(self):
        return SLOWEST.index(self.name) if self.name in SLOWEST else len(SLOWEST)

    def start(self):
        self.began = time.monotonic()
        self.output = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            self.command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=subprocess.STDOUT,
            preexec_fn=end_with_this_process,
        )

    def end(self):
        """Shows what it has printed; whether all is well."""
        took = time.monotonic() - self.began
        self.output.seek(0)
        print(f"=== {self.name} ({took:.0f} s) ===", flush=True)
        sys.stdout.buffer.write(self.output.read())
        sys.stdout.flush()
        return self.process.returncode == 0


def end_with_this_process():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def jobs(messages):
    """What cargo has built, in cargo's words on standard input."""
    for message in map(json.loads, messages):
        if message["reason"] != "compiler-artifact" or not message["profile"]["test"] or not message["executable"]:
            continue
        folder = Path(message["manifest_path"]).parent
        target = message["target"]
        kinds = set(target["kind"])
        name = target["name"]
        if "test" not in kinds:
            name = f"{name}, unit tests"
        elif folder.name != "isomirror":
            name = f"{folder.name}: {name}"
        yield Job(name, [message["executable"]], folder)
        if name in RECORDS:
            yield Job(f"{name}, records", [message["executable"], *RECORDS[name]], folder, {"ISOMIRROR__ENGINE": "records"})
    yield Job("documentation", ["cargo", "test", "--workspace", "--doc"], ".")


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    waiting = sorted(jobs(sys.stdin), key=Job.rank)
    at_once = int(os.environ.get("ISOMIRROR_TEST_JOBS", "2"))
    total, running, failed, done = len(waiting), [], [], 0
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                job = waiting.pop(0)
                job.start()
                running.append(job)
            time.sleep(0.1)
            for job in [job for job in running if job.process.poll() is not None]:
                running.remove(job)
                done += 1
                if not job.end():
                    failed.append(job.name)
                print(f"{done} of {total} done, running: {', '.join(job.name for job in running)}", flush=True)
    finally:
        for job in running:
            job.process.kill()
    if failed:
        sys.exit(f"error: tests have failed in: {'; '.join(failed)}")
    print(f"all {total} test programs have passed")


main()
