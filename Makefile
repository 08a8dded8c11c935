# `make table` installs what a user needs, `make test` what a developer needs; a second run takes seconds.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: table test zoo docs bench bench-profile gpu clean

table: $(VENV)/installed
	@$(BIN)/costmodel table --model v6
	@echo "To go on: $(BIN)/costmodel --help, or source $(BIN)/activate"

test: $(VENV)/ready
	$(BIN)/pytest

# 60 networks of timm, torchvision and transformers, counted and held against torch's own counter, in two minutes.
zoo: $(VENV)/ready .zoo/ready
	PYTHONPATH=.zoo $(BIN)/python tests/zoo.py --sample

.zoo/ready: tests/zoo-requirements.txt
	rm -rf .zoo
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --target .zoo --requirement $<
	@touch $@

# What the README and the notebooks show: run again, and written back.
docs: $(VENV)/ready
	$(BIN)/python docs/regenerate.py

bench: $(VENV)/ready
	$(BIN)/python benchmarks/table_start.py
	$(BIN)/python benchmarks/sweep_speed.py
	$(BIN)/python benchmarks/report_time.py
	$(BIN)/python benchmarks/count_speed.py
	$(BIN)/python benchmarks/compare_start.py
	$(BIN)/python benchmarks/peak_memory.py
	$(BIN)/python benchmarks/flicker_speed.py
	$(BIN)/python benchmarks/prediction_speed.py
	$(BIN)/python benchmarks/published_times.py

# Half an hour, on a machine that does nothing else.
bench-profile: $(VENV)/ready
	$(BIN)/python benchmarks/profile_overhead.py --networks
	$(BIN)/python benchmarks/profile_repeats.py
	$(BIN)/python benchmarks/layers_repeat.py

# On a machine with an NVIDIA GPU: tests, times and layers in nine minutes, with a python that has torch, numpy and pydantic.
gpu:
	PYTHONPATH=. $(PYTHON) benchmarks/gpu.py

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

$(VENV)/ready: $(VENV)/installed
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	@touch $@

clean:
	rm -rf $(VENV) .zoo .pytest_cache .mypy_cache .ruff_cache .hypothesis dist
