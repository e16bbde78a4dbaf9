# The commands. Each sets up what it needs; .ci/run runs the same ones.

PYTHON := .venv/bin/python
UV = $(or $(shell command -v uv),.venv-uv/bin/uv)

.PHONY: run test bench lint format lock clean

run: .venv/ready ## serve on this machine: make run [PORT=7072] [MODEL=file.gguf]
	@$(PYTHON) -m local $(if $(PORT),--port $(PORT)) $(if $(MODEL),--model "$(MODEL)")

test: .venv/ready ## all tests, with the branch coverage of chat/
	@$(PYTHON) -m pytest --cov --cov-report=term

bench: .venv/ready ## this service beside others, under the same load, in under ten minutes
	@$(PYTHON) -m bench --uv "$(UV)"

lint: .venv/ready ## style and types
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy

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
	rm -rf .venv .venv-uv .venv-litellm .venv-setup.log .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage

.venv/ready: requirements-dev.txt local/setup.sh
	@sh local/setup.sh
