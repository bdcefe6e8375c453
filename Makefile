# What a contributor runs; each target is one command, which may be typed as well.
PYTHON ?= python3
BIN := .venv/bin

# What imports neither torch nor an app that serves, and takes no time; the rest is in `make test`.
FAST := tests/storage tests/era/io tests/era/index tests/test_contributing.py \
  $(patsubst %,tests/annotation/test_%.py,agreement consensus python_demo duplicates markdown presenting_judging quality \
  ranking_keys reading settings signing_in training_choice ui_values uploads words comparing_run_cache)

.PHONY: setup run fast test ui lint bench

setup:  ## make the environment
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -r tests/requirements.txt

run:  ## start the app
	$(BIN)/python app.py

fast:  ## test what needs neither a browser nor torch, in about a minute
	$(BIN)/pytest --ignore tests/era/io/test_hostile.py --ignore tests/era/io/test_hub.py $(FAST)

test:  ## test everything; browser tests need Chromium on the path
	$(BIN)/pytest

ui:  ## test in the browser alone
	$(BIN)/pytest tests/ui

lint:  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .

bench:  ## print how far requests walk through the code, and how long they take
	$(BIN)/python -m benchmarks.walks
	$(BIN)/python -m benchmarks.speed
