"""The processes of the simulated radio: what happens when one of them, or their parent, dies; hostile deliveries."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import psutil
import pytest
import zmq
from radio_lab import TIMEOUT_S, RadioLab, data_burst, lab_experiment, random_blocks, sounding

from protocol.bursts import BurstReport, Window
from protocol.errors import AddressInUseError, ConfigurationError, DataError, MissingPartError, RadioError
from radio.drivers import open_client_radio
from radio.drivers.receiving import _OpenWindow
from radio.ether import DELIVERY_LIMIT, DeliveryHeader
from radio.processes.children import START_ERRORS, Child
from radio.processes.lifetime import PEER_GONE_EXIT, start_failed
from radio.processes.link import Link
from radio.processes.messages import BurstDecoded, Finish, ReceiverDone, SourceFailed, Start, TransmitBurst
from radio.processes.receiver import Sharing

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def lab():
    lab = RadioLab(lab_experiment((20.0, 20.0)))
    yield lab
    lab.close()


def child_processes(of: psutil.Process | None = None) -> dict[str, psutil.Process]:
    """Radio processes of this test (or of another process) by module."""
    found = {}
    for process in (of or psutil.Process()).children():
        command = process.cmdline()
        if "-m" in command and command[command.index("-m") + 1].startswith("radio.processes."):
            found[command[command.index("-m") + 1].rpartition(".")[2]] = process
    return found


@pytest.mark.parametrize("victim", ["ether", "receiver", "decoder"])
def test_a_dead_radio_process_is_named_at_once(lab, victim):
    burst = sounding("c0")
    window = lab.window("sounding", [burst])
    lab.base_station.arm(window, [burst])
    child_processes()[victim].send_signal(signal.SIGKILL)
    began = time.monotonic()
    with pytest.raises(RadioError, match=f"{victim}.*killed by signal 9"):
        lab.base_station.collect(TIMEOUT_S)
    assert time.monotonic() - began < 5.0


def test_a_client_radio_that_died_says_so_and_the_others_are_heard(lab):
    bursts = [sounding("c0", burst_id=1), sounding("c1", burst_id=2)]
    window = lab.window("sounding", bursts)
    lab.base_station.arm(window, bursts)
    transmitters = [p for p in psutil.Process().children() if "radio.processes.transmitter" in p.cmdline()]
    transmitters[0].send_signal(signal.SIGKILL)
    with pytest.raises(RadioError, match=r"transmitter of 'c0'.*killed by signal 9"):
        lab.clients["c0"].transmit(window, bursts[0], [])
    lab.clients["c1"].transmit(window, bursts[1], [])
    lab.base_station.leave_out("c0")
    report = lab.base_station.collect(TIMEOUT_S)
    assert report.lost == ["c0"]
    assert [burst.detected for burst in report.bursts] == [False, True]


def test_a_window_whose_radio_failed_says_why_however_often_it_is_collected():
    window = _OpenWindow(Window("s", 0, 0, "sounding", 8192), 1)
    window.take(ReceiverDone([], 0.0))
    assert window.outcome() is None
    window.take(SourceFailed("ip:192.168.2.1: cannot be opened"))
    for _ in range(2):
        with pytest.raises(RadioError, match=r"ip:192\.168\.2\.1: cannot be opened"):
            window.outcome()


@pytest.mark.parametrize("kind", [MissingPartError, AddressInUseError, DataError, ConfigurationError, RadioError])
def test_what_keeps_a_radio_process_from_starting_is_raised_as_what_it_is(kind):
    assert START_ERRORS[start_failed(kind("why")).cause] is kind


def test_a_radio_process_that_hangs_is_named_and_ended():
    start = Start(lab_experiment((20.0,)), "c0", "tcp://127.0.0.1:9")
    child = Child("transmitter", "transmitter of 'c0'", start, limit_s=0.3)
    try:
        child.process.send_signal(signal.SIGSTOP)
        with pytest.raises(RadioError, match=r"transmitter of 'c0' process did not answer within 0.3 s"):
            child.wait_started()
        assert child.exit_code(timeout_s=10.0) == -signal.SIGKILL
        with pytest.raises(RadioError, match=r"transmitter of 'c0'.*killed by signal 9"):
            child.send(Finish())
    finally:
        child.close()


def test_a_radio_process_that_takes_no_more_messages_counts_as_hung():
    start = Start(lab_experiment((20.0,)), "c0", "tcp://127.0.0.1:9")
    child = Child("transmitter", "transmitter of 'c0'", start, limit_s=0.3)
    burst = data_burst("c0", 0, 8, "qpsk-1/2", 1, 1)
    try:
        child.process.send_signal(signal.SIGSTOP)
        with pytest.raises(RadioError, match="did not answer within"):
            child.send(TransmitBurst(Window("s", 0, 0, "data", 2**16), burst, [bytes(2**22)]))
    finally:
        child.close()


PARENT = """
import os, signal, sys
sys.path[:0] = [{root!r}, {tests!r}]
from radio_lab import RadioLab, lab_experiment, sounding
lab = RadioLab(lab_experiment((20.0,)))
lab.hear("sounding", [sounding("c0")])
assert not any(name.startswith(("gnuradio", "torch")) for name in sys.modules)
import psutil
print(*[child.pid for child in psutil.Process().children(recursive=True)], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_no_process_outlives_a_parent_killed_by_sigkill():
    script = PARENT.format(root=str(REPOSITORY), tests=str(Path(__file__).parent))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    pids = [int(text) for text in done.stdout.split()]
    assert len(pids) == 5
    orphans = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    _, alive = psutil.wait_procs(orphans, timeout=10)
    assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []


BUSY_CHILD = """
import time
from radio.processes.lifetime import run_child
run_child(lambda parent, peers, start: time.sleep(1000))
"""


def test_a_process_that_hangs_ends_with_its_parent_all_the_same():
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-c", BUSY_CHILD, str(theirs.fileno())]
    with subprocess.Popen(command, pass_fds=[theirs.fileno()], cwd=REPOSITORY) as child:
        theirs.close()
        Link(ours).send(Start(lab_experiment()))
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(1.0)
        ours.close()
        assert child.wait(10.0) == PEER_GONE_EXIT


def test_garbage_at_the_ether_is_refused_and_counted(lab):
    burst = sounding("c0")
    window = lab.window("sounding", [burst])
    lab.base_station.arm(window, [burst])
    good = DeliveryHeader(window.session, window.round_index, window.index, "c0")
    deliveries = [
        [b"not msgpack", b""],
        [b"\x00" * 5000, b""],
        [b"one frame"],
        [msgspec.msgpack.encode(good), b"\x00" * 80],
        [msgspec.msgpack.encode(good), b"\xff" * (8 * window.n_samples)],
        [msgspec.msgpack.encode(good), b"\x00" * (DELIVERY_LIMIT + 1)],
    ]
    with zmq.Context() as context:
        for frames in deliveries:
            with context.socket(zmq.DEALER) as attacker:
                attacker.connect(lab.base_station.radio_address)
                attacker.send_multipart(frames)
                attacker.setsockopt(zmq.LINGER, 2000)
                attacker.poll(300)
    lab.clients["c0"].transmit(window, burst, [])
    report = lab.base_station.collect(TIMEOUT_S)
    assert report.bursts[0].detected
    assert report.refused == {"malformed": 3, "wrong sample count": 1, "impossible samples": 1}


def test_a_machine_without_gnu_radio_is_told_so(tmp_path, monkeypatch):
    (tmp_path / "gnuradio").mkdir()
    (tmp_path / "gnuradio" / "__init__.py").write_text("raise ImportError('no GNU Radio here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    lab = RadioLab(lab_experiment((20.0,)))
    try:
        with pytest.raises(MissingPartError, match="GNU Radio"):
            lab.base_station.arm(lab.window("silent", []), [])
        with pytest.raises(MissingPartError, match="GNU Radio"):
            lab.clients["c0"].transmit(lab.window("sounding", []), sounding("c0"), [])
    finally:
        lab.close()


def test_a_folder_called_radio_in_the_working_directory_is_not_imported(tmp_path, monkeypatch):
    (tmp_path / "radio").mkdir()
    (tmp_path / "radio" / "__init__.py").write_text("raise SystemExit('wrong package')")
    monkeypatch.chdir(tmp_path)
    radio = open_client_radio("c0", lab_experiment((20.0,)), "tcp://127.0.0.1:9")
    # A burst above full power is refused by the process itself: it has started.
    with pytest.raises(RadioError, match="above full power"):
        radio.transmit(Window("s", 0, 0, "sounding", 2**16), sounding("c0", tx_gain_db=1.0), [])
    radio.close()


def test_numpy_numbers_cross_a_link_as_plain_ones_and_samples_beside_them():
    ours, theirs = (Link(end) for end in socket.socketpair())
    samples = np.arange(5, dtype=np.complex64)
    ours.send(BurstDecoded(0, BurstReport("c0", 1, True, cfo_hz=np.float64(1.5)), 0.25), samples)
    message, beside = theirs.expect(BurstDecoded)
    assert message.report.cfo_hz == 1.5
    assert np.array_equal(beside, samples)
    ours.close()
    theirs.close()


def test_bursts_are_shared_longest_first():
    bursts = [data_burst(f"c{i}", 0, 8, "qpsk-1/2", blocks, i) for i, blocks in enumerate((5, 30, 10, 20))]
    assert Sharing(2).share(1, bursts) == [(1, 0), (3, 1), (2, 1), (0, 0)]


def test_a_client_stays_with_its_decoder_for_a_round():
    sharing = Sharing(2)
    first = [data_burst("a", 0, 8, "qpsk-1/2", 30, 1), data_burst("b", 9, 8, "qpsk-1/2", 5, 2)]
    assert dict(sharing.share(1, first)) == {0: 0, 1: 1}
    second = [data_burst("b", 9, 8, "qpsk-1/2", 40, 3), data_burst("c", 0, 4, "qpsk-1/2", 3, 4)]
    assert dict(sharing.share(1, second)) == {0: 1, 1: 0}
    assert dict(sharing.share(2, [second[0]])) == {0: 0}


def test_a_retransmission_is_combined_with_what_was_kept_in_its_decoder():
    lab = RadioLab(lab_experiment((-3.4, 12.0)))
    try:
        corrections = {name: lab.corrections(name) for name in ("c0", "c1")}
        contents = {"c0": random_blocks(1, 8), "c1": random_blocks(2, 4)}
        bursts = [data_burst("c0", 0, 8, "qpsk-1/2", 8, 20, **corrections["c0"]),
                  data_burst("c1", 10, 8, "qpsk-1/2", 4, 21, **corrections["c1"])]  # fmt: skip
        report, _ = lab.hear("data", bursts, [contents[burst.client] for burst in bursts])
        failed = [i for i, block in enumerate(report.bursts[0].blocks) if block is None]
        assert len(failed) >= 3
        assert report.bursts[0].blocks_combined == 0
        again = msgspec.structs.replace(bursts[0], burst_id=77, block_ids=failed, rb_start=3, rb_count=7)
        report, _ = lab.hear("data", [again], [[contents["c0"][i] for i in failed]])
        assert report.bursts[0].blocks == [contents["c0"][i] for i in failed]
        assert report.bursts[0].blocks_combined == len(failed)
    finally:
        lab.close()
