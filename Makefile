# Each target installs what it needs, in .venv; .ci/run runs the same ones.

PYTHON := .venv/bin/python
UV = $(or $(shell command -v uv),.venv-uv/bin/uv)

LOCK = $(UV) pip compile --quiet --upgrade --generate-hashes --universal --python-version 3.13 \
	--custom-compile-command "make lock"

CHECKOV := checkov==3.3.30

.PHONY: help run routes test check verify clients soak bench lint scan infra pictures format lock clean

# Except for PORT, a variable counts only on make's command line: shells export MODEL, URL and KEY for other programs.
option = $(if $(and $($(1)),$(filter command,$(origin $(1)))),$(2) "$($(1))")
port = $(if $(PORT),--port "$(PORT)")

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1|/' | awk -F'|' '{printf "  make %-8s %s\n", $$1, $$2}'

# With exec, no shell is left that Ctrl-C would end with an error.
run: .venv/run ## serve on this machine [PORT=7072] [MODEL=file.gguf]
	$(if $(filter environment,$(origin MODEL)),@echo "MODEL in the environment is not used. To use it: make run MODEL=\"$$MODEL\"")
	@exec $(PYTHON) -m local $(port) $(call option,MODEL,--model)

routes: .venv/run ## list the methods and routes of the functions
	@$(PYTHON) -m local.functions

test: .venv/run .venv/test .venv/browser .venv/azurite ## all tests, with the branch coverage of chat/, or some [ARGS="tests/unit -k sse"]
	@$(PYTHON) -m pytest $(if $(ARGS),$(ARGS),--cov --cov-report=term)

check: lint .venv/run .venv/test ## lint and the fast tests, in about a minute
	@$(PYTHON) -m pytest -q --ignore-glob="*examples.py" tests/unit tests/docs tests/service/test_chat.py tests/service/test_settings.py

verify: .venv/run ## check a running instance over HTTP [PORT=7072] or [URL=https://…] [KEY=…] [API_KEY=…]
	@$(PYTHON) -m verify $(port) $(call option,URL,--url) $(call option,KEY,--key) $(call option,API_KEY,--api-key) \
		$(call option,FAKE_MODEL_PORT,--fake-model-port)

soak: .venv/run ## run completions, faults and disconnects for minutes, and check for leaks [MINUTES=3]
	@$(PYTHON) -m testing.soak $(call option,MINUTES,--minutes)

bench: .venv/run ## compare this service with others under the same load, in twelve minutes
	@$(PYTHON) -m bench --uv "$(UV)"

# Some clients need older packages than the app.
clients: .venv/run .venv/test .venv-clients/ready ## real clients of OpenAI's APIs through the service, in ten minutes [ARGS="-k codex"]
	@$(PYTHON) -m pytest -m clients tests/clients $(ARGS)

.venv-clients/ready: tests/clients/requirements.txt tests/clients/package-lock.json
	@$(UV) venv --quiet --clear --python 3.13 .venv-clients
	@$(UV) pip sync --quiet --compile-bytecode --require-hashes --python .venv-clients/bin/python tests/clients/requirements.txt
	@npm ci --silent --no-audit --no-fund --prefix tests/clients
	@touch .venv-clients/ready

lint: .venv/lint ## check style, types, imports, scripts and workflows
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy
	@.venv/bin/lint-imports --no-logo
	@.venv/bin/shellcheck .ci/run local/*.sh
	@.venv/bin/zizmor --quiet --offline .github

# The scanner's many dependencies stay out of .venv. A file that it cannot parse counts as a finding.
scan: .venv/lint ## scan the Bicep for what is insecure
	@$(UV) tool run --quiet --python 3.13 --from $(CHECKOV) checkov --directory infra --framework bicep \
		--compact --quiet --skip-download >.scan.log 2>&1 || { cat .scan.log; exit 1; }
	@if grep -E "Parsing errors|Failed to run" .scan.log; then exit 1; fi
	@grep "checks:" .scan.log

infra: .venv/run .venv/test ## lint and compile the Bicep, and write infra/snapshots [BICEP=path]
	@$(PYTHON) -m tests.infra.snapshots

pictures: .venv/run .venv/test .venv/browser ## take the README's pictures of the page
	@$(PYTHON) -m tests.browser.screenshots

format: .venv/lint ## correct the style
	@$(PYTHON) -m ruff check --fix .
	@$(PYTHON) -m ruff format .

lock: .venv/lint ## pin the newest versions of what pyproject.toml names
	$(LOCK) pyproject.toml --output-file requirements.txt
	$(LOCK) pyproject.toml --group run --group test --group lint --constraints requirements.txt \
		--output-file requirements-dev.txt
	$(LOCK) tests/clients/requirements.in --output-file tests/clients/requirements.txt
	$(LOCK) local/uv.in --output-file local/uv.txt

clean: ## remove what the targets created
	rm -rf .venv .venv-uv .venv-clients .venv-litellm tests/clients/node_modules testing/azurite/node_modules .venv-setup.log .scan.log .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage

.venv/run .venv/test .venv/lint: .venv/%: requirements-dev.txt local/setup.sh
	@sh local/setup.sh $*

.venv/browser: .venv/test local/browser.sh
	@sh local/browser.sh

.venv/azurite: testing/azurite/package-lock.json
	@echo "Setting up: Azurite, for the tests of budgets (40 MB to download, 360 MB on disk) …"
	@npm ci --silent --no-audit --no-fund --ignore-scripts --prefix testing/azurite
	@mkdir -p .venv && touch .venv/azurite
