import dataclasses
import json
import re
import sys
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from learning import assets, vader
from learning.data import load_dataset
from learning.tables import read_rows
from protocol.configuration import Experiment, ModelTable
from protocol.errors import DataError, MissingPartError
from protocol.experiment_file import experiment_from_dict

COLUMNS = {"text": [f"line {i}, with a comma\nand a break" for i in range(40)], "label": [i % 4 for i in range(40)]}


def experiment(seed: int = 1, **data: object) -> Experiment:
    members = [{"name": "ann", "distance_m": 10.0}]
    return experiment_from_dict(
        {"experiment": {"name": "t", "seed": seed}, "clients": {"members": members}, "data": data}, "test"
    )


def write_table(path: Path, columns: dict[str, list]) -> Path:
    if path.suffix == ".csv":
        pyarrow.csv.write_csv(pa.table(columns), path)
    elif path.suffix == ".parquet":
        pyarrow.parquet.write_table(pa.table(columns), path)
    else:
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_every_table_format_gives_the_same_rows(tmp_path, suffix):
    rows = read_rows(write_table(tmp_path / f"t{suffix}", COLUMNS), "text", "label", None)
    assert list(rows.texts) == COLUMNS["text"]
    assert list(rows.labels) == [str(label) for label in COLUMNS["label"]]


def test_a_table_is_split_into_disjoint_parts_with_a_fifth_held_out(tmp_path):
    path = write_table(tmp_path / "t.csv", {**COLUMNS, "owner": ["ann", "bo"] * 20})
    data = load_dataset(experiment(source="table", path=str(path), group_column="owner"))
    parts = [data.train, data.validation, data.test]
    assert [len(part) for part in parts] == [29, 3, 8]
    assert sorted(text for part in parts for text in part.contents) == sorted(COLUMNS["text"])
    assert data.class_names == ("0", "1", "2", "3")
    owners = dict(zip(COLUMNS["text"], ["ann", "bo"] * 20, strict=True))
    assert [owners[text] for text in data.train.contents] == list(data.train.groups)


def test_a_test_table_is_used_whole_and_must_know_the_classes(tmp_path):
    train = write_table(tmp_path / "train.csv", COLUMNS)
    test = write_table(tmp_path / "test.csv", {"text": ["a", "b"], "label": ["3", "0"]})
    data = load_dataset(experiment(source="table", path=str(train), test_path=str(test)))
    assert len(data.train) + len(data.validation) == 40
    assert sorted(zip(data.test.contents, data.test.labels.tolist(), strict=True)) == [("a", 3), ("b", 0)]
    write_table(tmp_path / "test.csv", {"text": ["a"], "label": ["strange"]})
    with pytest.raises(DataError, match=r"test\.csv has the label 'strange'"):
        load_dataset(experiment(source="table", path=str(train), test_path=str(test)))


def test_number_labels_are_ordered_as_numbers(tmp_path):
    path = write_table(tmp_path / "t.jsonl", {"text": ["x"] * 60, "label": [10, 9, 2] * 20})
    assert load_dataset(experiment(source="table", path=str(path))).class_names == ("2", "9", "10")


@pytest.mark.parametrize(("suffix", "delimiter"), [(".csv", ","), (".tsv", "\t")])
def test_what_looks_like_a_number_in_a_csv_file_stays_as_it_is_written(tmp_path, suffix, delimiter):
    path = tmp_path / f"t{suffix}"
    path.write_text("\n".join(delimiter.join(row) for row in (("text", "label", "site"), ("0123", "01", "007"))))
    rows = read_rows(path, "text", "label", "site")
    assert (rows.texts, rows.labels, rows.groups) == (["0123"], ["01"], ["007"])


def bad_tables(directory: Path) -> list[tuple[Path, str]]:
    (directory / "broken.parquet").write_bytes(b"not parquet at all")
    (directory / "broken.csv").write_text("text,label\na,b,c\n")
    (directory / "empty.csv").write_text("")
    (directory / "unlabelled.csv").write_text("text,label\na,1\nb,\n")
    (directory / "textless.csv").write_text("text,label\na,x\n,y\n")
    (directory / "binary.jsonl").write_bytes(b"\xff\xfe\x00")
    (directory / "notes.txt").write_text("hello")
    nothing = pa.array([], pa.string())
    written = {
        "other.csv": ({"words": ["a"], "label": ["b"]}, "no column 'text'; it has: words, label"),
        "none.csv": ({"text": nothing, "label": nothing}, "no rows"),
        "hole.jsonl": ({"text": ["a", None], "label": ["x", "y"]}, "no text or number in row 2"),
        "one.csv": ({"text": ["a"] * 30, "label": ["same"] * 30}, "one class only"),
        "few.csv": ({"text": ["a", "b"], "label": ["x", "y"]}, "too few"),
    }
    return [
        (directory / "missing.csv", "no such file"),
        (directory / "broken.parquet", "cannot be read as parquet"),
        (directory / "broken.csv", "cannot be read as csv"),
        (directory / "empty.csv", "cannot be read as csv"),
        (directory / "unlabelled.csv", "column 'label' has no text or number in row 2"),
        (directory / "textless.csv", "column 'text' has no text or number in row 2"),
        (directory / "binary.jsonl", "cannot be read as jsonl"),
        (directory / "notes.txt", "not a table this reads"),
        *((write_table(directory / name, columns), reason) for name, (columns, reason) in written.items()),
    ]


def test_every_bad_table_is_refused_in_one_line_that_names_it(tmp_path):
    for path, reason in bad_tables(tmp_path):
        with pytest.raises(DataError) as refusal:
            load_dataset(experiment(source="table", path=str(path)))
        assert reason in str(refusal.value)
        assert path.name in str(refusal.value)
        assert "\n" not in str(refusal.value)


def test_20_newsgroups_comes_whole_with_a_tenth_of_train_for_validation():
    data = load_dataset(experiment())
    assert len(data.class_names) == 20
    assert (len(data.train), len(data.validation), len(data.test)) == (10164, 1129, 7528)
    assert set(np.unique(data.validation.labels)) == set(range(20))
    assert "atheist resources archive" in " ".join(
        t for t in data.train.contents + data.validation.contents if "atheist" in t
    )
    assert load_dataset(experiment(seed=2)).validation.contents != data.validation.contents


@pytest.mark.parametrize(("source", "classes"), [("reuters-r8", 8), ("reuters-r52", 52)])
def test_reuters_comes_with_its_classes(source, classes):
    assert len(load_dataset(experiment(source=source)).class_names) == classes


def test_vader_domains_are_groups_and_no_review_or_article_is_in_two_splits():
    data = load_dataset(experiment(source="vader-domains"))
    assert data.class_names == ("negative", "neutral", "positive")
    parts = (data.train, data.validation, data.test)
    assert [len(part) for part in parts] == [17005, 1890, 4724]
    assert all(set(part.groups) == {"film", "amazon", "nyt", "tweets"} for part in parts)
    sources = [set(part.sources) for part in parts]
    assert len(set.union(*sources)) == sum(map(len, sources))
    articles = [source for part in parts for source in part.sources if source.startswith("nyt-")]
    assert len(set(articles)) == 498
    assert len(articles) > 5000
    everything = [text for part in parts for text in part.contents]
    assert len(set(everything)) == len(everything)
    assert any(text.startswith("We were 17 deep last night & the love was so strong") for text in everything)


def test_vader_tweets_are_one_domain_and_labels_follow_the_ratings():
    data = load_dataset(experiment(source="vader-tweets"))
    assert set(data.train.groups) == {"tweets"}
    label = dict(
        pair
        for part in (data.train, data.validation, data.test)
        for pair in zip(part.contents, part.labels, strict=True)
    )
    assert data.class_names[label["Yay. Another good phone interview."]] == "positive"
    assert [vader.sentiment(r) for r in (-0.5, -0.49, 0.49, 0.5)] == ["negative", "neutral", "neutral", "positive"]


def test_a_missing_or_foreign_archive_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with pytest.raises(MissingPartError, match=r"vaderSentiment-0\.5\.zip is not in .*run `make setup`"):
        load_dataset(experiment(source="vader-domains"))
    path = tmp_path / "share/airtune/vaderSentiment-0.5.zip"
    path.parent.mkdir(parents=True)
    for write in (lambda: path.write_bytes(b"no archive"), lambda: zipfile.ZipFile(path, "w").close()):
        write()
        with pytest.raises(DataError, match=f"{re.escape(str(path))}: not the archive of vaderSentiment"):
            load_dataset(experiment(source="vader-domains"))


def test_unknown_sources_name_the_known_ones():
    with pytest.raises(DataError, match=r"unknown data 'imdb'; known: 20newsgroups"):
        load_dataset(experiment(source="imdb"))
    with pytest.raises(DataError, match=r"unknown model 'gpt'; known: minilm-l6, dinov2-small, smollm2-135m, local"):
        assets.model_directory(ModelTable(source="gpt"))


def test_a_missing_package_says_what_to_run(monkeypatch):
    missing = dataclasses.replace(assets.MODELS["minilm-l6"], distribution="no-such-package")
    monkeypatch.setitem(assets.MODELS, "minilm-l6", missing)
    with pytest.raises(MissingPartError, match="run `make setup`"):
        assets.model_directory(ModelTable())


def test_a_local_model_path_must_be_a_model_directory(tmp_path):
    with pytest.raises(DataError, match="no directory"):
        assets.model_directory(ModelTable(source="local", path=str(tmp_path / "nowhere")))
    with pytest.raises(DataError, match=r"no config\.json"):
        assets.model_directory(ModelTable(source="local", path=str(tmp_path)))
