# Two commands do all the set-up on a fresh machine: make demo, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= $(shell $(PYTHON) -c 'import os; print(min(8, os.cpu_count()))')
NATIVE := $(shell find native -name '*.cpp' -o -name '*.h' -o -name CMakeLists.txt)

.PHONY: demo test quick check docs errors figures format sanitize clean

demo: $(VENV)/run.stamp        ## train all four patterns on embedded data and show what they learned
	$(BIN)/stepscan demo

test: $(VENV)/dev.stamp        ## all tests; those that need published data skip where it is absent
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal  # tests of threads set their own number

quick: $(VENV)/dev.stamp       ## the tests that a change breaks first: see tests/README.md
	$(BIN)/python -m pytest tests/cells tests/combinators tests/decoding tests/test_contract.py tests/test_options.py \
	  tests/test_public_names.py tests/test_reference.py tests/test_registry.py tests/test_sequences.py tests/test_state.py

check: $(VENV)/dev.stamp       ## style, types, and the code in the documents
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_documents.py

docs: $(VENV)/docs.stamp       ## the site, into site/; a broken link is an error
	$(BIN)/mkdocs build --quiet --strict

errors: $(VENV)/dev.stamp     ## docs/errors.md, out of what the tests of wrong input try
	WRITE_ERRORS=1 $(BIN)/python -m pytest tests/hostile

figures: $(VENV)/dev.stamp    ## docs/images/lecture, out of the lecture's own code; docs/images/serve.png, of the page
	WRITE_FIGURES=1 $(BIN)/python -m pytest tests/test_documents.py -k 'code_runs and lecture'
	WRITE_FIGURES=1 $(BIN)/python -m pytest tests/serving/page/test_page_picture.py

sanitize: $(VENV)/dev.stamp    ## the kernels' own tests: plain, with address and undefined-behaviour, with thread sanitizer;
                               ## and hostile model folders on a library with the address and undefined-behaviour sanitizers
	for kind in "" address,undefined,float-cast-overflow thread; do \
	  cmake -S native -B build/tests-$$kind -DSTEPSCAN_TESTS=ON -DSTEPSCAN_SANITIZE=$$kind > /dev/null && \
	  cmake --build build/tests-$$kind --parallel 2 && \
	  build/tests-$$kind/test_kernels && build/tests-$$kind/test_layers && build/tests-$$kind/test_attention && build/tests-$$kind/test_programs || exit 1; \
	done
	$(BIN)/python -m pip install --quiet nanobind
	cmake -S native -B build/sanitized -DPython_EXECUTABLE=$(abspath $(BIN))/python -DSTEPSCAN_SANITIZE=address,undefined,float-cast-overflow > /dev/null
	cmake --build build/sanitized --parallel 2
	LD_PRELOAD="$$(c++ -print-file-name=libasan.so) $$(c++ -print-file-name=libubsan.so)" ASAN_OPTIONS=detect_leaks=0 \
	  $(BIN)/python tests/hostile/sanitized.py build/sanitized/_native*.so

format: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/run.stamp: pyproject.toml constraints.txt $(NATIVE)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[train,demo]'
	touch $@

$(VENV)/dev.stamp: pyproject.toml constraints.txt $(NATIVE)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@ $(VENV)/run.stamp

$(VENV)/docs.stamp: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[docs]'
	touch $@

clean:
	rm -rf $(VENV) build dist site
