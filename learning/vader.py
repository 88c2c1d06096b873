"""The four VADER corpora: sentences of one kind each, rated by people from -4 (negative) to 4 (positive).

Hutto and Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text", ICWSM 2014. The
corpora are in the source archive of ``vaderSentiment`` only, as a tar file inside a zip file; both are read in memory.
The class limits are ours.
"""

from __future__ import annotations

import html
import io
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from learning.tables import Rows
from protocol.errors import DataError

DOMAINS = {
    "film": "movieReviewSnippets",
    "amazon": "amazonReviewSnippets",
    "nyt": "nytEditorialSnippets",
    "tweets": "tweets",
}
"""Stem of each corpus' file, by the name of its domain."""
NEUTRAL_BELOW = 0.5
"""A sentence whose mean rating is nearer to zero than this is neutral."""
_ARCHIVE = "vaderSentiment-0.5/additional_resources/hutto_ICWSM_2014.tar.gz"
_MAXIMUM_BYTES = 2**24
"""No file read here is larger; the largest has 1.4 MB."""


def read_vader(archive: Path, domains: Sequence[str]) -> Rows:
    """Rated sentences of ``domains``: label = sentiment, group = domain, source = the review or article it is from.

    A sentence that occurs again is left out. Raises DataError if the archive is not the expected one.
    """
    found: dict[str, tuple[str, str, str]] = {}
    try:
        with zipfile.ZipFile(archive) as outer, outer.open(_ARCHIVE) as packed:
            corpora = _unpack(packed.read(_MAXIMUM_BYTES), domains)
        for domain, content in corpora.items():
            for text, rating, source in _sentences(content):
                found.setdefault(text, (sentiment(rating), domain, f"{domain}-{source}"))
        labels, groups, sources = zip(*found.values(), strict=True)
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise DataError(f"{archive}: not the archive of vaderSentiment 0.5: {error}") from error
    return Rows(list(found), labels, groups, sources)


def sentiment(rating: float) -> str:
    """Class of a mean rating in [-4, 4]."""
    if abs(rating) < NEUTRAL_BELOW:
        return "neutral"
    return "positive" if rating > 0.0 else "negative"


def _unpack(packed: bytes, domains: Sequence[str]) -> dict[str, str]:
    """Content of each domain's file."""
    content = {}
    with tarfile.open(fileobj=io.BytesIO(packed)) as inner:
        for domain in domains:
            stream = inner.extractfile(f"hutto_ICWSM_2014/{DOMAINS[domain]}_GroundTruth.txt")
            content[domain] = stream.read(_MAXIMUM_BYTES).decode("utf-8") if stream else ""
    return content


def _sentences(content: str) -> Iterator[tuple[str, float, str]]:
    """Sentence, mean rating and source of each line ``SOURCE[_NUMBER]<TAB>RATING<TAB>SENTENCE``."""
    for line in content.split("\n"):
        if line.strip():
            number, rating, text = line.split("\t", 2)
            yield html.unescape(text).strip(), float(rating), number.partition("_")[0]
