"""What set-up compiles, and what is compiled later all the same: seen in a process where nothing is compiled yet."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = """
import sys
from numba.core.registry import CPUDispatcher
from {module} import compile_kernels

def variants():
    modules = [module for name, module in sys.modules.items() if name.startswith(("radio.", "base_station."))]
    functions = {{f for module in modules for f in vars(module).values() if isinstance(f, CPUDispatcher)}}
    return {{(f.__name__, str(signature)) for f in functions for signature in f.signatures}}

compile_kernels()
compiled = variants()
{work}
print(len(compiled), sorted(variants() - compiled))
"""


def compiled_and_added(module, work, timeout_s):
    """How many variants of functions ``module``'s ``compile_kernels`` compiles; a list of those ``work`` adds."""
    command = [sys.executable, "-c", SCRIPT.format(module=module, work=work)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout_s)
    assert result.returncode == 0, result.stderr
    count, added = result.stdout.split(maxsplit=1)
    return int(count), added.strip()
