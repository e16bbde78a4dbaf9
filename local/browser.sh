#!/bin/sh
# Installs a browser for the tests, unless there is one: Playwright's, or where that does not work, the distribution's.
set -u
cd "$(dirname "$0")/.." || exit
log=.venv-setup.log

has_browser() {
    command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null ||
        .venv/bin/python -c 'from playwright.sync_api import sync_playwright as start
with start() as playwright: playwright.chromium.launch().close()'
}

# Only as root, or with a sudo that does not ask for a password.
install_package() {
    sudo=
    if [ "$(id -u)" -ne 0 ]; then sudo="sudo -n"; fi
    $sudo apt-get update -qq && $sudo apt-get install -y -qq --no-install-recommends chromium fonts-liberation
}

if ! has_browser >/dev/null 2>&1; then
    echo "Setting up: a browser for the tests (120 MB to download) …"
    .venv/bin/python -m playwright install chromium-headless-shell >"$log" 2>&1
    has_browser >>"$log" 2>&1 || install_package >>"$log" 2>&1
    if ! has_browser >>"$log" 2>&1; then
        command=".venv/bin/python -m playwright install --with-deps chromium-headless-shell"
        if command -v apt-get >/dev/null; then command="sudo apt-get install chromium"; fi
        echo "The tests need a browser, which could not be installed (see $log). To install one: $command" >&2
        exit 1
    fi
    rm -f "$log"
fi
touch .venv/browser
