"""Key files: made with one command, refused when others may read them."""

from __future__ import annotations

import pytest

from protocol.errors import AccessError, StorageError
from protocol.keys import load_client_keys, load_station_keys, make_keys

NAMES = ["near", "far"]


def mode(path):
    return path.stat().st_mode & 0o777


def test_keys_are_made_for_the_base_station_and_every_client(tmp_path):
    directory = tmp_path / "new" / "keys"
    written = make_keys(directory, NAMES)
    assert sorted(path.name for path in written) == sorted(
        f"{name}.{kind}" for name in ("base-station", *NAMES) for kind in ("key", "pub")
    )
    assert sorted(directory.iterdir()) == sorted(written)
    assert mode(directory) == 0o700
    assert {mode(path) for path in written if path.suffix == ".key"} == {0o600}


def test_both_sides_load_matching_keys(tmp_path):
    make_keys(tmp_path, NAMES)
    station = load_station_keys(tmp_path, NAMES)
    client = load_client_keys(tmp_path, "far")
    assert station.clients["far"] == client.pair.public
    assert client.station_public == station.pair.public
    assert len({station.pair.secret, client.pair.secret, station.clients["near"]}) == 3


def test_secrets_do_not_show_in_repr(tmp_path):
    make_keys(tmp_path, NAMES)
    keys = load_client_keys(tmp_path, "far")
    assert keys.pair.secret not in repr(keys)


def test_existing_keys_are_kept_unless_forced(tmp_path):
    make_keys(tmp_path, ["near"])
    before = {path.name: path.read_text() for path in tmp_path.iterdir()}
    with pytest.raises(AccessError, match="--force"):
        make_keys(tmp_path, NAMES)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == before
    make_keys(tmp_path, NAMES, overwrite=True)
    assert load_station_keys(tmp_path, NAMES).pair.public not in before["base-station.pub"]


def test_a_secret_that_others_may_read_is_refused_with_the_cure(tmp_path):
    make_keys(tmp_path, NAMES)
    path = tmp_path / "near.key"
    path.chmod(0o640)
    with pytest.raises(AccessError, match=f"chmod 600 {path}"):
        load_client_keys(tmp_path, "near")


@pytest.mark.parametrize(
    "text",
    ["", "airtune public key\nabc\n", "airtune secret key\n" + "x" * 41, "\xff\xfe", "airtune secret key\n" + "é" * 40],
)
def test_files_that_are_no_key_are_refused(tmp_path, text):
    make_keys(tmp_path, NAMES)
    (tmp_path / "near.key").write_text(text, "utf-8")
    with pytest.raises(AccessError, match=r"near\.key: not an airtune secret key"):
        load_client_keys(tmp_path, "near")


def test_a_missing_key_names_the_command_that_makes_one(tmp_path):
    with pytest.raises(AccessError, match="airtune keys"):
        load_client_keys(tmp_path, "near")


def test_one_key_for_two_clients_is_refused(tmp_path):
    make_keys(tmp_path, NAMES)
    (tmp_path / "near.pub").write_text((tmp_path / "far.pub").read_text())
    with pytest.raises(AccessError, match="same key"):
        load_station_keys(tmp_path, NAMES)
    with pytest.raises(AccessError, match="not the secret half"):
        load_client_keys(tmp_path, "near")


def test_a_directory_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        make_keys(tmp_path / "file" / "keys", NAMES)
