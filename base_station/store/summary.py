"""The closing figures of a run, computed from its database alone (docs/design.md, section 6)."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from base_station.dense_reference import dense_reference_of
from base_station.store.language import known_perplexity, models_language
from base_station.store.run_store import RunStore

_CLIENT_SQL = """
SELECT client,
       AVG(CASE WHEN sinr_db <> '[]' THEN reference_snr_db END),
       AVG(CASE WHEN sinr_db <> '[]' THEN gain_db END),
       AVG(CASE WHEN weight > 0 THEN sparsity END),
       SUM(MAX(passes - 1, 0)),
       (SELECT CASE WHEN fragments_delivered > 0 THEN unsent_energy ELSE update_energy END FROM client_rounds AS last
        WHERE last.client = c.client AND last.weight > 0 ORDER BY round_index DESC LIMIT 1),
       (SELECT COUNT(*) FROM bursts AS b WHERE b.client = c.client AND NOT b.detected),
       SUM(fragments_forged)
FROM client_rounds AS c GROUP BY client
"""


def summary(store: RunStore) -> dict[str, Any]:
    """What ``airtune demo --json`` prints. Figures the run has not come to yet are None.

    Latency and sparsity are means over the client rounds that took part (``weight > 0``); SNR and gain are means
    of dB values over the rounds a client was heard in; retransmissions count the ARQ passes after the first.
    ``residual_energy`` is what stayed unsent after the last round a client took part in: all of its update if
    nothing arrived, else what it left out of the update it encoded (a lower bound if that arrived in part only).
    Perplexities are None but for a language model, whose accuracy is that of single tokens.
    ``bursts_missed`` counts expected bursts, soundings included, that were not detected: absent, too weak, or others'.
    """
    with store.snapshot():
        rounds, payload_bits, air_bits, airtime_s = store.query(
            "SELECT COUNT(*), SUM(payload_bits), SUM(air_bits), TOTAL(airtime_s) FROM rounds"
        )[0]
        latency_s = store.query("SELECT AVG(latency_s) FROM client_rounds WHERE weight > 0")[0][0]
        dense = dense_reference_of(store)
        return {
            "run_dir": str(store.directory),
            "iq": store.experiment.radio.driver != "abstract",
            "allocation": store.experiment.tsfa.allocation,
            "rounds": rounds,
            "initial_accuracy": store.fact("initial_accuracy"),
            "final_accuracy": store.fact("final_accuracy"),
            "final_accuracy_interval": store.fact("final_accuracy_interval"),
            "initial_perplexity": known_perplexity(store.experiment, store.fact("initial_loss")),
            "final_perplexity": known_perplexity(store.experiment, store.fact("final_loss")),
            "uplink_payload_bits": payload_bits or 0,
            "uplink_air_bits": air_bits or 0,
            "airtime_s": airtime_s,
            "mean_latency_s": latency_s,
            "latency_budget_s": store.experiment.tsfa.latency_budget_s,
            "stage_seconds": stage_seconds(store),
            "clients": _clients(store),
            "dense_reference": None if dense is None else msgspec.to_builtins(dense),
        }


def stage_seconds(store: RunStore) -> dict[str, float]:
    """Wall-clock seconds by stage, summed over the rounds."""
    totals: Counter[str] = Counter()
    for record in store.rounds():
        totals.update(record.stage_wall_s)
    return dict(totals)


def _clients(store: RunStore) -> list[dict[str, Any]]:
    """One entry per client of the experiment, in its order."""
    known = {row[0]: row[1:] for row in store.query(_CLIENT_SQL)}
    keys = (
        "mean_snr_db", "mean_gain_db", "mean_sparsity", "retransmissions", "residual_energy", "bursts_missed",
        "fragments_forged",
    )  # fmt: skip
    return [
        {"name": member.name, **dict(zip(keys, known.get(member.name, (None, None, None, 0, None, 0, 0)), strict=True))}
        for member in store.experiment.clients.members
    ]


def accuracy_so_far(store: RunStore) -> float:
    """Validation accuracy after the last committed round, or before training if there is none."""
    rounds = list(store.rounds())
    return rounds[-1].accuracy if rounds else float(store.fact("initial_accuracy"))


def closing_lines(store: RunStore, result: dict[str, Any]) -> str:
    """What a user wants to read at the end of a run, from its ``summary``."""
    lines = [_accuracy_line(result)]
    if models_language(store.experiment):
        lines.append(_perplexity_line(result))
    if not result["iq"]:
        lines.append("radio     no IQ: losses were drawn from the link tables, nothing was modulated")
    if result["allocation"] != "tsfa":
        lines.append(f"grants    {result['allocation']}, not TSFA")
    lines.append(
        f"airtime   {result['airtime_s']:.2f} s for {result['rounds']} rounds; "
        f"mean latency {_seconds(result['mean_latency_s'])} of {result['latency_budget_s']:g} s budget"
    )
    lines.append(
        f"on air    {_megabits(result['uplink_air_bits'])}, {_megabits(result['uplink_payload_bits'])} of it payload"
    )
    dense = result["dense_reference"]
    if dense is not None and dense["served"]:
        lines.append(
            f"dense     LoRA at the same {store.experiment.soft.quant_bits} bits, equal bandwidth, same channels: "
            f"{dense['airtime_s']:.2f} s airtime{_times(dense['airtime_s'], result['airtime_s'])}, "
            f"{_megabits(dense['air_bits'])} on air{_times(dense['air_bits'], result['uplink_air_bits'])}, "
            f"mean latency {_seconds(dense['mean_latency_s'])}"
        )
    notes = store.query("SELECT round_index, note FROM rounds WHERE note <> '' ORDER BY round_index DESC LIMIT 1")
    lines += [f"note      round {index}: {note}" for index, note in notes]
    return "\n".join([*lines, f"report    {store.directory / 'report.html'}"])


def _accuracy_line(result: dict[str, Any]) -> str:
    initial, final, interval = (result[k] for k in ("initial_accuracy", "final_accuracy", "final_accuracy_interval"))
    if final is None:
        return f"accuracy  not tested yet: the run stopped after {result['rounds']} rounds"
    around = f" (95 % interval {interval[0]:.3f} to {interval[1]:.3f})" if interval else ""
    before = f"; before training {initial:.3f} on validation texts" if initial is not None else ""
    return f"accuracy  {final:.3f} on test texts{around}{before}"


def _perplexity_line(result: dict[str, Any]) -> str:
    initial, final = result["initial_perplexity"], result["final_perplexity"]
    before = f"; before training {initial:.2f} on validation texts" if initial is not None else ""
    tested = f"{final:.2f} on test texts" if final is not None else "not tested yet"
    return f"language  perplexity {tested}{before}; accuracies are of single tokens"


def _seconds(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f} s"


def _megabits(bits: float) -> str:
    return f"{bits / 1e6:.2f} Mbit"


def _times(dense: float, ours: float) -> str:
    return f" ({dense / ours:.1f} x)" if ours else ""
