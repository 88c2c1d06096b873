"""Models whose packages hold them in another format than Hugging Face's: converted once, then kept.

The copy lies beside the environment's other data (``assets.store``). Set-up makes it, or else the first use. Several
processes may ask at the same time: one converts, the others wait, and a copy is there whole or not at all.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from learning.assets import CONVERTED, locate, store
from protocol.errors import AirtuneError, DataError, MissingPartError, StorageError


def converted_directory(name: str) -> Path:
    """Hugging Face directory of the model ``name`` of ``assets.CONVERTED``.

    Raises MissingPartError if the package, or a library its format needs, is not installed; DataError if the file is
    not the expected one; StorageError if the copy cannot be written.
    """
    directory = store() / name
    if directory.is_dir():
        return directory
    source = locate(CONVERTED[name].file)
    try:
        with _alone(directory):
            if not directory.is_dir():
                _convert(name, source, directory)
    except OSError as error:
        raise StorageError(f"{directory}: the converted model cannot be kept: {error.strerror or error}") from error
    return directory


def _convert(name: str, source: Path, directory: Path) -> None:
    for abandoned in directory.parent.glob(f".{name}.*.unfinished"):
        shutil.rmtree(abandoned, ignore_errors=True)  # of a conversion that was killed
    scratch = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".unfinished", dir=directory.parent))
    try:
        importlib.import_module(CONVERTED[name].converter).convert(source, scratch)
        _synchronise(scratch)
        scratch.rename(directory)
    except ImportError as error:
        raise MissingPartError(
            f"converting {source.name} needs the package '{error.name}'; run `make setup EXTRA=models`"
        ) from error
    except (AirtuneError, OSError):
        raise
    except Exception as error:  # onnx, gguf and transformers raise a dozen unrelated types here
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(f"{source}: cannot be converted: {reason}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """One process at a time; the lock ends with its process, however that ends."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    with (directory.parent / f".{directory.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _synchronise(directory: Path) -> None:
    """Let everybody read, and let nothing be lost by a power cut after the rename."""
    directory.chmod(0o755)
    for path in directory.iterdir():
        path.chmod(0o644)
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
