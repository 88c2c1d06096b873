"""Putting the page together: sections in order, template, files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2

from base_station.report.burst_figures import constellation_figure, soft_bits_figure, spectrum_figure
from base_station.report.drawing import DataTable, Picture, report_style
from base_station.report.language_figures import perplexity_figure
from base_station.report.learning_figures import accuracy_figure, split_figure, stages_figure, training_figure
from base_station.report.provenance_text import provenance_rows, subtitle
from base_station.report.radio_figures import grant_map_figure, link_figure
from base_station.report.run_data import RunData, read_run
from base_station.report.tables import (
    PrintedTable,
    bits_table,
    clients_table,
    dense_table,
    headlines,
    last_bursts_table,
    rounds_table,
)
from base_station.report.tsfa_figures import allocation_figure, bits_figure
from base_station.store.export import write_csv
from base_station.store.files import storage_errors
from base_station.store.run_store import CONFIGURATION
from base_station.store.toml_text import toml_text
from protocol.experiment_file import experiment_to_dict
from protocol.files import write_atomically

REPORT = "report.html"
DATA_DIRECTORY = "report_data"

FigureMaker = Callable[[RunData], Picture | None]


@dataclass(frozen=True)
class Section:
    """A part of the page. ``absent`` says why nothing is shown if nothing is."""

    anchor: str
    title: str
    absent: str
    pictures: Sequence[Picture]
    table: PrintedTable | None = None
    table_note: str = ""
    tables: Sequence[DataTable] = field(default_factory=tuple)


def write_page(run_dir: Path) -> Path:
    """See ``base_station.report.write_report``."""
    data = read_run(run_dir)
    sections = _sections(data)
    directory = data.directory / DATA_DIRECTORY
    with storage_errors(directory):
        directory.mkdir(exist_ok=True)
    tables = [t for s in sections for t in [*(t for p in s.pictures for t in p.tables), *s.tables]]
    for table in tables:
        write_csv(directory / f"{table.name}.csv", table.columns, table.rows)
    _remove_stale(directory, {f"{table.name}.csv" for table in tables})
    path = data.directory / REPORT
    write_atomically(path, _render(data, sections).encode())
    return path


def _sections(data: RunData) -> list[Section]:
    bit_lines, bit_data = bits_table(data)
    dense = dense_table(data)
    none_heard = "No client has been heard yet." if not data.rounds else "Nothing was received in any round."
    no_round = "No round has been committed yet."
    sent = any(c.air_bits for c in data.clients)
    return [
        Section("accuracy", "Accuracy", no_round, _draw(data, perplexity_figure, accuracy_figure)),
        Section(
            "dense", "Dense LoRA instead", "Not known: nothing was heard, or the run does not say how "
            "large a dense update is.", (), dense[0] if dense else None, _dense_note(data), [dense[1]] if dense else (),
        ),
        Section("link", "Radio link", none_heard,
                _draw(data, link_figure, constellation_figure, soft_bits_figure, spectrum_figure),
                last_bursts_table(data) if data.bursts else None,
                "What became of these bursts; `airtune link show` shows any other one of the run."),
        Section("allocation", "Bandwidth, sparsity and latency", no_round,
                _draw(data, grant_map_figure, allocation_figure)),
        Section("bits", "Bits on air", none_heard, _draw(data, bits_figure), bit_lines if sent else None,
                "Update: size of the encoded updates. Delivered: what arrived and was aggregated. Payload, headers, "
                "coding and retransmissions add up to the bits on air.", [bit_data]),
        Section("clients", "Clients", no_round, (), clients_table(data),
                "SNR and gain are means over the rounds in which the client was heard."),
        Section("learning", "Learning", no_round, _draw(data, training_figure, split_figure)),
        Section("time", "Wall-clock time", no_round, _draw(data, stages_figure)),
        Section("rounds", "Rounds", no_round, (), rounds_table(data) if data.rounds else None),
    ]  # fmt: skip


def _draw(data: RunData, *makers: FigureMaker) -> list[Picture]:
    with report_style():
        return [picture for maker in makers if (picture := maker(data)) is not None]


def _dense_note(data: RunData) -> str:
    dense = data.summary["dense_reference"]
    if dense is None:
        return ""
    unserved = f" {dense['unserved']} client rounds were too weak for it and are left out." if dense["unserved"] else ""
    return (
        "Every client that was heard sends its whole LoRA update and head, "
        f"{dense['update_bits']:,} bits at the same {data.experiment.soft.quant_bits}-bit quantisation, over an equal "
        "share of the band on the channels measured in this run, expected retransmissions included, without a "
        f"deadline.{unserved}"
    )


def _render(data: RunData, sections: Sequence[Section]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("base_station.report", "templates"),
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    values: dict[str, Any] = {
        "title": data.directory.name,
        "subtitle": subtitle(data),
        "state": "finished" if "finished" in data.facts else f"not finished: {len(data.rounds)} rounds committed",
        "notes": _notes(data),
        "headlines": headlines(data),
        "sections": sections,
        "styles": data.styles,
        "provenance": provenance_rows(data),
        "configuration": toml_text(experiment_to_dict(data.experiment)),
        "configuration_file": CONFIGURATION,
        "data_directory": DATA_DIRECTORY,
    }
    return environment.get_template("report.html.j2").render(values)


def _notes(data: RunData) -> list[str]:
    """What went wrong, each sentence once with the rounds it was said in."""
    rounds: dict[str, list[int]] = {}
    for r in data.rounds:
        if r.note:
            rounds.setdefault(r.note, []).append(r.round_index)
    return [f"{_rounds(found)}: {note}" for note, found in rounds.items()]


def _rounds(found: Sequence[int]) -> str:
    if len(found) == 1:
        return f"Round {found[0]}"
    if found == list(range(found[0], found[-1] + 1)):
        return f"Rounds {found[0]} to {found[-1]}"
    return f"{len(found)} rounds from {found[0]} to {found[-1]}"


def _remove_stale(directory: Path, kept: set[str]) -> None:
    """Data of an earlier report that this one does not have."""
    with storage_errors(directory):
        for path in directory.glob("*.csv"):
            if path.name not in kept:
                path.unlink()
