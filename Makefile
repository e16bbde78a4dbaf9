# The commands. Each sets up what it needs; .ci/run runs the same ones.

PYTHON := .venv/bin/python
UV = $(or $(shell command -v uv),.venv-uv/bin/uv)

CHECKOV := checkov==3.3.30

.PHONY: run test soak bench lint scan format lock clean

# An option counts only on make's command line: shells export PORT and MODEL for other programs.
option = $(if $(and $($(1)),$(filter command,$(origin $(1)))),$(2) "$($(1))")

run: .venv/ready ## serve on this machine: make run [PORT=7072] [MODEL=file.gguf]
	@$(PYTHON) -m local $(call option,PORT,--port) $(call option,MODEL,--model)

test: .venv/ready ## all tests, with the branch coverage of chat/
	@$(PYTHON) -m pytest --cov --cov-report=term

soak: .venv/ready ## minutes of everything at once, and what is left of it: make soak [MINUTES=3]
	@$(PYTHON) -m tests.soak $(if $(MINUTES),--minutes $(MINUTES))

bench: .venv/ready ## this service beside others, under the same load, in under ten minutes
	@$(PYTHON) -m bench --uv "$(UV)"

lint: .venv/ready ## style, types, scripts and workflows
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy
	@.venv/bin/shellcheck .ci/run local/*.sh infra/hooks/*.sh
	@.venv/bin/zizmor --quiet --offline .github

# The scanner's many dependencies stay out of .venv. It passes over a file that it can't parse, and so that counts too.
scan: .venv/ready ## the Bicep, through a security scanner
	@$(UV) tool run --quiet --python 3.13 --from $(CHECKOV) checkov --directory infra --framework bicep \
		--compact --quiet --skip-download >.scan.log 2>&1 || { cat .scan.log; exit 1; }
	@if grep -E "Parsing errors|Failed to run" .scan.log; then exit 1; fi
	@grep "checks:" .scan.log

format: .venv/ready ## mend the style
	@$(PYTHON) -m ruff check --fix .
	@$(PYTHON) -m ruff format .

lock: .venv/ready ## pin the newest versions of what pyproject.toml names
	$(UV) pip compile --quiet --upgrade pyproject.toml \
		--python-version 3.13 --python-platform x86_64-manylinux_2_28 \
		--custom-compile-command "make lock" --output-file requirements.txt
	$(UV) pip compile --quiet --upgrade pyproject.toml --group dev --constraints requirements.txt \
		--python-version 3.13 --universal \
		--custom-compile-command "make lock" --output-file requirements-dev.txt

clean: ## remove what the commands made
	rm -rf .venv .venv-uv .venv-litellm .venv-setup.log .scan.log .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage

.venv/ready: requirements-dev.txt local/setup.sh
	@sh local/setup.sh
