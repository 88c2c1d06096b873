"""A base station and three clients in processes of their own."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from control_support import WELCOME, testbed

from protocol.messages import Finish, Plan, Ready

ROUNDS = 20
ADAPTER = b"\x5a" * 1_000_000
CLIENT = """
import sys, msgspec
from control_support import READY
from protocol.control import ClientControl
from protocol.keys import load_client_keys
from pathlib import Path
from protocol.messages import Finish, Plan
address, name, keys = sys.argv[1:]
control = ClientControl(address, name, load_client_keys(Path(keys), name))
while not isinstance(message := control.receive(60.0), Finish):
    if isinstance(message, Plan):
        assert len(message.adapter) == 1_000_000
        control.send(msgspec.structs.replace(READY, round_index=message.round_index))
control.close()
"""


def write_keys(bed, directory):
    pairs = {"base-station": bed.pair, **bed.client_pairs}
    for name, pair in pairs.items():
        (directory / f"{name}.pub").write_text(f"airtune public key\n{pair.public}\n")
        (directory / f"{name}.key").write_text(f"airtune secret key\n{pair.secret}\n")
        (directory / f"{name}.key").chmod(0o600)


def play_rounds(bed, names):
    """Wall-clock seconds of each round: every plan out, every answer in."""
    times_s = []
    for round_index in range(1, ROUNDS + 1):
        started = time.perf_counter()
        for name in names:
            bed.station.send(name, Plan(round_index, ADAPTER, None, None))
        answers = dict(bed.next_event("ready") for _ in names)
        times_s.append(time.perf_counter() - started)
        assert answers.keys() == set(names)
        assert {answer.round_index for answer in answers.values() if isinstance(answer, Ready)} == {round_index}
    return times_s


def test_three_client_processes_answer_twenty_plans_of_a_megabyte(tmp_path):
    names = ["a", "b", "c"]
    tests = Path(__file__).parent
    path = f"{tests}:{tests.parents[1]}"
    with testbed(*names) as bed:
        write_keys(bed, tmp_path)
        clients = [
            subprocess.Popen(
                [sys.executable, "-c", CLIENT, bed.station.address, name, str(tmp_path)], env={"PYTHONPATH": path}
            )
            for name in names
        ]
        try:
            for _ in names:
                assert bed.station.send(bed.next_event("hello")[0], WELCOME)
            times_s = play_rounds(bed, names)
            for name in names:
                bed.station.send(name, Finish())
            assert [client.wait(30) for client in clients] == [0, 0, 0]
        finally:
            for client in clients:
                client.kill()
    print(f"median {statistics.median(times_s) * 1e3:.1f} ms, worst {max(times_s) * 1e3:.1f} ms a round")
    assert statistics.median(times_s) < 1.0
