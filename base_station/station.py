"""A base station from start to finish: open everything, play the rounds, test, report."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from base_station.aggregation import AGGREGATORS
from base_station.clients import Roster
from base_station.evaluator import StationEvaluator
from base_station.folding import Folding
from base_station.lab import Lab
from base_station.progress import Progress
from base_station.report import write_report
from base_station.round import StationRound
from base_station.state import ServerState
from base_station.store.provenance import provenance
from base_station.store.run_store import RunStore
from base_station.store.summary import accuracy_so_far, closing_lines, summary
from base_station.tsfa.queues import feasibility
from learning.data import load_dataset
from learning.device import DeviceProfile, compute_s
from learning.own_files import own_file_hashes
from learning.partition import Partition, partition_samples
from learning.samples import Dataset
from protocol.adapters import Adapter, adapter_from_bytes, dense_bits
from protocol.configuration import Experiment
from protocol.control import StationControl
from protocol.errors import PeerLostError, RunError
from protocol.experiment_file import experiment_to_dict
from protocol.folding import split_folded
from protocol.keys import StationKeys
from protocol.messages import Finish, Welcome
from protocol.random_streams import derive_seed
from radio.channel.replay import replay_sha256
from radio.drivers import open_base_station_radio
from radio.interface import BaseStationRadio
from radio.limits import experiment_numerology
from radio.link_tables import LinkTables
from radio.recordings import RECORDINGS

FRAGMENT_KEY_BYTES = 32


def run_base_station(
    experiment: Experiment,
    run_dir: Path,
    keys: StationKeys,
    progress: Progress,
    *,
    resume: bool,
    device: Callable[[], DeviceProfile],
    on_listening: Callable[[str], None],
) -> dict[str, Any]:
    """Run the experiment, or what is left of it, and return the summary of the run.

    ``device`` gives the device profile of a new run (a resumed one keeps its own); ``on_listening`` is called
    with the control address as soon as clients can say hello. Raises RunError, StorageError, DataError,
    RadioError, AddressInUseError, and PeerLostError when no client is left.
    """  # fmt: skip
    dataset = load_dataset(experiment)
    partition = partition_samples(experiment, dataset.train)
    with ExitStack() as stack:
        # Addresses and model first: a run that cannot listen or load leaves no run directory behind.
        control = StationControl(experiment.clients.control_address, keys.pair, keys.clients)
        stack.callback(control.close)
        iq_directory = run_dir.resolve() / RECORDINGS if experiment.radio.keeps_iq else None
        radio = open_base_station_radio(experiment, iq_directory)
        stack.callback(radio.close)
        evaluator = StationEvaluator(experiment, dataset, partition)
        store = stack.enter_context(
            _open_store(experiment, run_dir, resume, dataset, partition, device, radio.identity)
        )
        if store.fact("finished") is not None:
            progress.finished(f"this run is complete; its report is {write_report(store.directory)}")
            return dict(store.fact("summary"))
        on_listening(control.address)
        fragment_keys = {m.name: fragment_key(experiment, keys, m.name) for m in experiment.clients.members}
        roster = Roster(control, _welcomes(experiment, store, radio, fragment_keys), experiment.clients, progress)
        lab = Lab(
            experiment=experiment, run_id=store.manifest["run_id"], session=secrets.token_hex(8), radio=radio,
            roster=roster, evaluator=evaluator, aggregator=AGGREGATORS[experiment.training.aggregation](),
            folding=Folding({}) if experiment.training.aggregation == "exact-fold" else None, store=store,
            progress=progress, numerology=experiment_numerology(experiment),
            tables=LinkTables.load().of(experiment.radio.codec), scaling=evaluator.scaling,
            samples={name: len(own) for name, own in partition.indices.items()},
            compute_s=_compute_times(experiment, store), fragment_keys=fragment_keys,
        )  # fmt: skip
        return _play(lab, evaluator)


def _open_store(
    experiment: Experiment, run_dir: Path, resume: bool, dataset: Dataset, partition: Partition,
    device: Callable[[], DeviceProfile], radio: dict[str, str],
) -> RunStore:  # fmt: skip
    if resume:
        store = RunStore.resume(run_dir)
        if changed := _changed(store, experiment, partition):
            store.close()
            raise RunError(f"{run_dir}: {changed}")
        return store
    classes, seed = len(dataset.class_names), experiment.experiment.seed
    manifest = {
        **provenance(),
        "run_id": f"{derive_seed(seed, 'run', experiment.experiment.name):016x}",
        "seed": seed,
        "partition_sha256": partition.sha256,
        "class_names": list(dataset.class_names),
        "class_histogram": {n: h.tolist() for n, h in partition.histogram(dataset.train.labels, classes).items()},
        "texts": {"train": len(dataset.train), "validation": len(dataset.validation), "test": len(dataset.test)},
        "device": msgspec.to_builtins(device()),
        "radio": radio,
        "downlink": "ip",
        "replay_sha256": replay_sha256(experiment),
        "own_files_sha256": own_file_hashes(experiment),
    }
    return RunStore.create(run_dir, experiment, manifest)


def _changed(store: RunStore, experiment: Experiment, partition: Partition) -> str:
    """Why a run cannot be gone on with; empty if all that it depends on is as it was."""
    if experiment_to_dict(store.experiment) != experiment_to_dict(experiment):
        return "was started with another experiment; resume it with its own config.toml"
    if store.manifest["partition_sha256"] != partition.sha256:
        return "the data or their split changed since the run was started"
    if store.manifest.get("replay_sha256") != replay_sha256(experiment):
        return f"{experiment.channel.replay_file} changed since the run was started"
    now = own_file_hashes(experiment)
    for key, digest in store.manifest.get("own_files_sha256", {}).items():
        # The device profile itself is in the manifest, and stays.
        if key != "clients.device" and now.get(key) != digest:
            return f"what {key} names has changed since the run was started; put it back, or start a new run"
    return ""


def _play(lab: Lab, evaluator: StationEvaluator) -> dict[str, Any]:
    """All rounds that are not committed yet, then the test."""
    rounds = lab.experiment.experiment.rounds
    state, adapter = _starting_point(lab, evaluator)
    if state.round_index < rounds:
        lab.roster.wait_for_clients(lab.experiment.clients.join_timeout_s)
        _insist_on_clients(lab)
        first = state.round_index + 1
        lab.progress.started(rounds, first, sorted(lab.roster.joined), accuracy_so_far(lab.store))
    while state.round_index < rounds:
        if not lab.roster.joined:
            lab.progress.warn("no client is connected; waiting for one to come back")
            lab.roster.wait_for_any(lab.experiment.clients.join_timeout_s)
            _insist_on_clients(lab)
        state, adapter = StationRound(lab, state, adapter).play()
    return _close(lab, adapter)


def _insist_on_clients(lab: Lab) -> None:
    if not lab.roster.joined:
        raise PeerLostError(
            f"no client joined within {lab.experiment.clients.join_timeout_s:.0f} s; "
            f"start the clients and go on with --resume --out {lab.store.directory}"
        )


def _compute_times(experiment: Experiment, store: RunStore) -> dict[str, float]:
    """Model time of each client's local training, by the run's device profile."""
    profile = msgspec.convert(store.manifest["device"], DeviceProfile)
    training, tokens = experiment.training, experiment.model.sample_tokens
    return {
        m.name: compute_s(profile, training.local_steps, training.batch_size, tokens, m.compute_scale)
        for m in experiment.clients.members
    }


def _welcomes(
    experiment: Experiment, store: RunStore, radio: BaseStationRadio, fragment_keys: dict[str, bytes]
) -> dict[str, Welcome]:
    experiment_json = msgspec.json.encode(experiment_to_dict(experiment))
    device_json = msgspec.json.encode(store.manifest["device"])
    return {
        name: Welcome(store.manifest["run_id"], experiment_json, key, device_json, radio.radio_address)
        for name, key in fragment_keys.items()
    }


def fragment_key(experiment: Experiment, keys: StationKeys, name: str) -> bytes:
    """Key of a client's fragment tags, 32 bytes; told to that client alone.

    With key files it follows from the base station's secret key, so no other client can know it, and a resumed run
    has the same. With the throw-away keys of a local run it follows from the seed, like everything else there.
    """
    secret = "throw-away" if keys.throw_away else keys.pair.secret
    text = f"{experiment.experiment.name}\x1f{experiment.experiment.seed}\x1f{name}"
    return hashlib.blake2b(text.encode(), key=secret.encode(), digest_size=FRAGMENT_KEY_BYTES).digest()


def _starting_point(lab: Lab, evaluator: StationEvaluator) -> tuple[ServerState, Adapter]:
    """State and adapter of the last committed round, or of a fresh start."""
    committed = lab.store.last_committed()
    if committed is not None:
        _, state, tensors = committed
        adapter, folded = split_folded(adapter_from_bytes(tensors)[0])
        if lab.folding:
            lab.folding.folded = folded
            evaluator.set_folded(folded)
        return ServerState.from_bytes(state), adapter
    initial = evaluator.initial_adapter()
    verdict = evaluator.validate(initial)
    lab.store.set_fact("initial_accuracy", verdict.accuracy)
    lab.store.set_fact("initial_loss", verdict.loss)
    lab.store.set_fact("dense_payload_bits", dense_bits(initial, lab.experiment.soft.quant_bits))
    return ServerState.initial(lab.experiment), initial


def _close(lab: Lab, adapter: Adapter) -> dict[str, Any]:
    """The test set, once; then the summary, the report, and word to the clients."""
    lab.progress.stage(lab.experiment.experiment.rounds, "test")
    verdict = lab.evaluator.test(adapter)
    lab.store.set_fact("final_loss", verdict.loss)
    lab.store.set_fact("final_accuracy", verdict.accuracy)
    lab.store.set_fact("final_accuracy_interval", list(verdict.interval))
    lab.store.set_fact("final_macro_f1", verdict.macro_f1)
    lab.store.set_fact("final_worst_client_accuracy", min(verdict.client_accuracy.values()))
    lab.store.set_fact("test_texts", verdict.texts)
    for name in lab.samples:
        lab.roster.send(name, Finish("the run is complete"))
    budget = feasibility([r.barrier_s for r in lab.store.rounds()], lab.experiment.tsfa.latency_budget_s)
    if not budget.feasible:
        lab.progress.warn(budget.sentence)
    result = summary(lab.store)
    lab.store.finish(result)
    write_report(lab.store.directory)
    lab.progress.finished(closing_lines(lab.store, result))
    return result
