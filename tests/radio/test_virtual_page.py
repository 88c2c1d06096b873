"""docs/virtual-pluto.md against the code; and what virtual Plutos may load."""

import re
import subprocess
import sys
from pathlib import Path

import msgspec

from radio.virtual import control_messages
from radio.virtual.configuration import LinkTable, MediumTable, RadioTable, medium_of

PAGE = (Path(__file__).parents[2] / "docs" / "virtual-pluto.md").read_text("utf-8")


def test_the_page_has_every_key_with_its_default():
    rows = dict(re.findall(r"^\| `((?:medium|link|radio)\.\w+)` \| ([^|]*?) ?\|", PAGE, re.MULTILINE))
    expected = {}
    for prefix, table in (("medium", MediumTable), ("link", LinkTable), ("radio", RadioTable)):
        expected |= {f"{prefix}.{field.name}": field.default for field in msgspec.structs.fields(table)}
    assert set(rows) == set(expected)
    for key, default in expected.items():
        if default is not None and default is not msgspec.NODEFAULT:
            shown = rows[key].strip("`")
            assert shown == default if isinstance(default, str) else float(shown) == default, key


def test_the_page_has_every_command_with_its_arguments():
    shown = {}
    for name, arguments in re.findall(r"`\{do: ([a-z-]+)((?:, \w+\??)*)\}`", PAGE):
        shown[name] = set(re.findall(r"(\w+)", arguments))
    commands = [value for value in vars(control_messages).values() if isinstance(value, type)]
    commands = [command for command in commands if issubclass(command, control_messages._Command)][1:]
    assert shown == {c.__struct_config__.tag: set(c.__struct_fields__) for c in commands}


def test_the_example_of_the_page_is_a_medium_file():
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    example = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)[1]
    assert medium_of(tomllib.loads(example), ["bs", "jetson-1"], "page").link[0].loss_db == 75.0


def test_virtual_plutos_load_neither_torch_nor_gnu_radio_nor_libiio():
    code = "import radio.virtual.control, sys; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert not {"torch", "gnuradio", "pmt", "iio", "adi", "numba", "transformers"} & set(loaded.stdout.split())
