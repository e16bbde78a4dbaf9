#!/bin/sh
# Installs one of the dependency groups of pyproject.toml in .venv: `sh local/setup.sh run`. What is there already stays.
# Makes .venv first if necessary, with Python 3.13, which is downloaded if there is only another version.
set -u
cd "$(dirname "$0")/.." || exit
group=$1
log=.venv-setup.log

fail() {
    echo "$1" >&2
    if [ -s "$log" ]; then echo "The last line of $log: $(grep -v '^ *$' "$log" | tail -n 1)" >&2; fi
    exit 1
}

# Runs a command with all of its output in the log, and prints the lines that show progress.
run_with_progress() {
    status=$(
        {
            { "$@" 2>&1 || echo "$?" >&3; } | tee "$log" |
                awk '/^ *(Downloaded|Prepared|Installed|Bytecode compiled) / { sub(/^ */, "  "); print; fflush() }' >&2
        } 3>&1
    )
    return "${status:-0}"
}

case $group in
run) what="packages and a small model (150 MB to download, 300 MB on disk)" ;;
test) what="packages for the tests (70 MB to download, 240 MB on disk)" ;;
lint) what="packages for the checks (up to 130 MB to download, 480 MB on disk)" ;;
esac

if command -v uv >/dev/null 2>&1; then
    uv=uv
else
    uv=.venv-uv/bin/uv
    if [ ! -x "$uv" ]; then
        python=$(command -v python3 || command -v python) || fail "There is no Python here: install Python 3.13."
        "$python" -c 'import sys; sys.exit(sys.version_info < (3, 8))' ||
            fail "$("$python" --version 2>&1) is too old: install Python 3.13, or at least 3.8, which can download it."
        echo "Setting up: uv, which installs the rest (50 MB on disk) …"
        "$python" -m venv --clear .venv-uv >"$log" 2>&1 ||
            fail "This Python cannot make a virtual environment: install its venv module (Debian: apt install python3-venv)."
        .venv-uv/bin/python -m pip install --quiet --retries 1 --require-hashes -r local/uv.txt >"$log" 2>&1 ||
            fail "The Python package registry cannot be reached: check the network, or the proxy in HTTPS_PROXY."
    fi
fi

if ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null; then
    echo "Setting up: Python 3.13 …"
    "$uv" venv --quiet --clear --python 3.13 .venv >"$log" 2>&1 ||
        fail "There is no Python 3.13 here, and it could not be downloaded: install it, or check the network."
fi
echo "Setting up: $what …"
# As constraints, the pinned versions and hashes apply to whatever the group needs, and to nothing else.
run_with_progress "$uv" pip install --compile-bytecode --python .venv/bin/python --require-hashes \
    --constraints requirements-dev.txt -r pyproject.toml --group "$group" ||
    fail "The packages could not be installed: check the network, or the proxy in HTTPS_PROXY."
rm -f "$log"
touch ".venv/$group"
