# `make demo` and `make test` each work as the first command in a fresh clone, with Python 3.11+ and make.

PYTHONS := python3 python3.14 python3.13 python3.12 python3.11 python
BIN := .venv/bin
PIP := $(BIN)/python -m pip
# What every installation depends on.
SOURCES := pyproject.toml kilocode_gateway/_version.py
# More arguments for pytest: make test PYTEST="-k errors"
PYTEST :=
# The same scan as in .pre-commit-config.yaml: what looks like a key of a known kind. Nothing is asked of anybody.
SECRETS := --no-verify --exclude-secrets '^hidden$$' --disable-plugin KeywordDetector \
	--disable-plugin Base64HighEntropyString --disable-plugin HexHighEntropyString --disable-plugin IPPublicDetector
# The same for fuzz: make fuzz FUZZ="--seed 5 --only cache"
FUZZ :=
# The same for bench: make bench BENCH="--runs 1"
BENCH :=

# The same for ray: make ray RAY="--rows 500"
RAY := --rows 10000
ON_RAY := notebooks/06_a_million_rows.ipynb

unexport PYTHONDONTWRITEBYTECODE
unexport PYTHONPATH

.PHONY: help demo test fuzz soak lint types audit format bench capabilities faults notebooks ray lowest known-models site clean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1	\2/p' Makefile

demo: .venv/demo.stamp ## LangChain and LlamaIndex answer through the gateway (a local one unless KILOCODE_API_KEY is set)
	$(BIN)/python examples/demo.py

test: .venv/test.stamp ## The whole suite, in an environment with both frameworks
	$(BIN)/python -m pytest -n auto $(PYTEST)

soak: .venv/test.stamp ## 100,000 requests through both frameworks, a tenth of them faulted; each answer is accounted for
	$(BIN)/python -m tests.soak

fuzz: .venv/test.stamp ## Try every property of tests/properties with 100,000 examples in all, for some minutes
	$(BIN)/python -m tests.properties $(FUZZ)

lint: .venv/lint.stamp ## ruff, whether the code is formatted, and whether a tracked file holds a key
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	git ls-files -z | xargs -0 $(BIN)/detect-secrets-hook $(SECRETS)

types: .venv/type.stamp ## mypy on the three packages and tests/typing, pyright on tests/typing
	$(BIN)/mypy
	$(BIN)/basedpyright --pythonpath $(BIN)/python

audit: .venv/test.stamp ## Known vulnerabilities of what we require; says so where nobody can tell
	@$(BIN)/python .ci/audit.py || [ $$? -eq 75 ]

format: .venv/lint.stamp ## Format the code and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv-peers/stamp .venv-peers-li/stamp .venv-peers-litellm/stamp ## Measure speed beside the peers, as ratios (half an hour), and write the tables
	.venv-peers/bin/python -m benchmarks.speed $(BENCH) \
		--python langchain=.venv-peers/bin/python --python litellm=.venv-peers-litellm/bin/python \
		--python llama-index=.venv-peers-li/newest/bin/python --python openrouter=.venv-peers-li/openrouter/bin/python \
		--result benchmarks/speed/result.json --page benchmarks/speed/README.md --readme README.md

capabilities: .venv-peers/stamp .venv-peers-li/stamp ## Measure our chat models beside their peers, and write the tables in tests/lc and tests/li
	.venv-peers/bin/python -m benchmarks.capabilities lc --into tests/lc/README.md
	.venv-peers-li/newest/bin/python -m benchmarks.capabilities li --into tests/li/README.md \
		--python OpenRouter=.venv-peers-li/openrouter/bin/python
	.venv-peers/bin/python -m benchmarks.capabilities sum --into README.md

faults: .venv/test.stamp ## Let every fault happen to every way to ask, the line ended after every byte (some minutes)
	$(BIN)/python -m tests.faults

ray: .venv-ray/stamp ## 10,000 rows on a Ray cluster of this machine, a worker killed on the way; and the notebook about it
	.venv-ray/bin/python -m pytest --timeout 600 tests/on_ray $(RAY)

notebooks: .venv/test.stamp .venv-ray/stamp ## Run every notebook without a key, and write into it what it prints
	$(BIN)/python .ci/notebooks.py $(filter-out $(ON_RAY),$(wildcard notebooks/*.ipynb))
	.venv-ray/bin/python .ci/notebooks.py $(ON_RAY)

known-models: .venv/test.stamp ## Ask the gateway which of the model names that editors offer it still lists, and write them
	$(BIN)/python .ci/known_models.py

lowest: .venv/pip.stamp ## Compute tests/lowest.txt anew, after a floor has moved in pyproject.toml
	$(PIP) install --quiet 'uv>=0.9'
	rm -f tests/lowest.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --resolution lowest-direct --extra all \
		--no-annotate --custom-compile-command 'make lowest' --output-file tests/lowest.txt pyproject.toml

site: .venv/docs.stamp ## Build the documentation in site/, and follow every link in it
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
	$(BIN)/python .ci/site_links.py site

clean: ## Remove the environment and everything that was made
	rm -rf .venv .venv-peers .venv-peers-li .venv-peers-litellm .venv-ray build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The first Python that is new enough and can make environments.
.venv/pip.stamp:
	@for python in $(PYTHONS); do \
		if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
			echo "$$python -m venv .venv"; \
			$$python -m venv --clear .venv || exit 1; \
			break; \
		fi; \
	done; \
	if [ ! -x $(BIN)/python ]; then \
		echo "Expected Python 3.11 or newer with its venv module, found none among: $(PYTHONS)." >&2; \
		echo "Install it (on Debian and Ubuntu: python3 and python3-venv) and run make again." >&2; \
		exit 1; \
	fi
	$(PIP) install --quiet --upgrade 'pip>=25.1'
	@touch $@

.venv/demo.stamp: .venv/pip.stamp $(SOURCES)
	$(PIP) install --quiet -e '.[all]' --group demo
	@touch $@

.venv/test.stamp: .venv/pip.stamp $(SOURCES)
	$(PIP) install --quiet -e '.[all]' --group test
	@touch $@

.venv/lint.stamp: .venv/pip.stamp $(SOURCES)
	$(PIP) install --quiet --group lint
	@touch $@

.venv/type.stamp: .venv/test.stamp $(SOURCES)
	$(PIP) install --quiet --group type
	@touch $@

# The reference is read from the source, the command line's help from the parser: neither framework is needed.
.venv/docs.stamp: .venv/pip.stamp $(SOURCES)
	$(PIP) install --quiet -e . --group docs
	@touch $@

# The peers stand in an environment of their own: they hold back other packages.
.venv-peers/stamp: .venv/pip.stamp $(SOURCES)
	$(BIN)/python -m venv --clear .venv-peers
	.venv-peers/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	.venv-peers/bin/python -m pip install --quiet -e '.[langchain]' --group peers
	@touch $@

# LiteLLM, of which only the client is measured, wants its own versions of much.
.venv-peers-litellm/stamp: .venv/pip.stamp $(SOURCES)
	$(BIN)/python -m venv --clear .venv-peers-litellm
	.venv-peers-litellm/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	.venv-peers-litellm/bin/python -m pip install --quiet -e '.[langchain]' --group peers-litellm
	@touch $@

# The peer package for OpenRouter wants an older openai-like than the newest, so it has an environment for itself.
.venv-peers-li/stamp: .venv/pip.stamp $(SOURCES)
	for name in newest openrouter; do \
		$(BIN)/python -m venv --clear .venv-peers-li/$$name && \
		.venv-peers-li/$$name/bin/python -m pip install --quiet --upgrade 'pip>=25.1' || exit 1; \
	done
	.venv-peers-li/newest/bin/python -m pip install --quiet -e '.[llama-index]'
	.venv-peers-li/openrouter/bin/python -m pip install --quiet -e '.[llama-index]' --group peers-llama-index
	@touch $@

# Ray is large, and only its users need it; to compile all of it takes longer than its tests.
.venv-ray/stamp: .venv/pip.stamp $(SOURCES)
	$(BIN)/python -m venv --clear .venv-ray
	.venv-ray/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	.venv-ray/bin/python -m pip install --quiet --no-compile -e '.[all]' --group ray
	@touch $@
