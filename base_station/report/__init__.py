"""``report.html``: one self-contained page per run, and the data of each of its figures as CSV.

``write_report`` makes it from a run directory; every other module here is one section or one kind of figure.
Reads base_station/store; matplotlib is imported only when a report is drawn.
"""

from __future__ import annotations

from pathlib import Path


def write_report(run_dir: Path) -> Path:
    """Write ``report.html`` and ``report_data/`` of a run, finished or not; the page's path.

    Raises RunError if there is no readable run, StorageError if the report cannot be written.
    """
    from base_station.report.page import write_page

    return write_page(run_dir)
