#!/bin/sh
# Makes .venv: Python 3.13 (fetched, where there is only an older one) with all that the app and its tests need.
set -u
cd "$(dirname "$0")/.." || exit
log=.venv-setup.log

fail() {
    echo "$1" >&2
    if [ -s "$log" ]; then echo "The last words of $log: $(grep -v '^ *$' "$log" | tail -n 1)" >&2; fi
    exit 1
}

if command -v uv >/dev/null 2>&1; then
    uv=uv
else
    uv=.venv-uv/bin/uv
    if [ ! -x "$uv" ]; then
        python=$(command -v python3 || command -v python) || fail "There is no Python here: install Python 3.13."
        "$python" -c 'import sys; sys.exit(sys.version_info < (3, 8))' ||
            fail "$("$python" --version 2>&1) is too old: install Python 3.13, or at least 3.8, which can fetch it."
        echo "Setting up: uv, which installs the rest …"
        "$python" -m venv --clear .venv-uv >"$log" 2>&1 ||
            fail "This Python can't make a virtual environment: install its venv module (Debian: apt install python3-venv)."
        .venv-uv/bin/python -m pip install --quiet --retries 1 'uv>=0.9,<1' >"$log" 2>&1 ||
            fail "The Python package registry can't be reached: check the network, or the proxy in HTTPS_PROXY."
    fi
fi

echo "Setting up: Python 3.13 …"
"$uv" venv --quiet --clear --python 3.13 .venv >"$log" 2>&1 ||
    fail "There is no Python 3.13 here, and it could not be fetched: install it, or check the network."
echo "Setting up: packages and a small model, some 250 MB …"
"$uv" pip sync --quiet --compile-bytecode --python .venv/bin/python requirements-dev.txt >"$log" 2>&1 ||
    fail "The packages could not be installed: check the network, or the proxy in HTTPS_PROXY."
rm -f "$log"
touch .venv/ready
