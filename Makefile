# gantry: the commands of everyday. `make demo` and `make test` need nothing but Debian 12 and
# root: each installs what is missing, builds, and runs.

PRESET ?= release
PREFIX ?= /usr/local

# What `make test` builds and runs with ASan and UBSan too; `make asan` has all of it. Where the
# first part took longer than ASAN_WITHIN seconds (a first build on a slow machine) it is left out,
# and counted as skipped: a test command that takes half an hour is not run.
ASAN_TESTS  := runtime_test actors_test bus_test keeper_shelf_test sim_lives_test fuzz_smoke
ASAN_WITHIN ?= 1080
STARTED     := $(shell date +%s)
BUILD  := build/$(PRESET)
TALLY  := build/tally

.PHONY: help demo test test-all check build install deb asan asan-some shared tidy fuzz vm vm-all bench deps deps-full clean

help:
	@echo "make demo      watch gantry run, kill, pause, and survive (about 20 s)"
	@echo "make test      build and run every lane that this machine can run; what CI runs"
	@echo "make test-all  the same, and ASan+UBSan, fuzzers, clang-tidy and the VM lane"
	@echo "make check     before a commit: build, quick lanes, the tree's own rules"
	@echo "make bench     the table of figures, with the peers that are installed"
	@echo "make install   to PREFIX (/usr/local) below DESTDIR; make deb: a Debian package of it"
	@echo "make tidy      clang-tidy over the whole tree; make fuzz, make shared, make vm (make vm-all: longer): one lane each"

deps:
	@scripts/install-packages

deps-full:
	@scripts/install-packages scripts/packages.txt scripts/packages-full.txt

build: deps
	@cmake --preset $(PRESET) >/dev/null
	@cmake --build $(BUILD)

install: build
	@cmake --install $(BUILD) --prefix $(PREFIX)

deb: build
	@scripts/build-deb $(BUILD)

demo: build
	@scripts/demo $(BUILD)/bin

test: build
	@rm -f $(TALLY)
	@scripts/run-lanes $(BUILD) --tally $(TALLY)
	@if [ $$(($$(date +%s) - $(STARTED))) -lt $(ASAN_WITHIN) ]; then \
	  $(MAKE) --no-print-directory asan-some ADD_UP="--tally $(TALLY)"; \
	else \
	  scripts/run-lanes $(BUILD) --left-out "ASan and UBSan, for want of time: make asan-some" \
	    --tally $(TALLY); \
	fi

asan-some: deps
	@echo "== ASan and UBSan: unit programs, simulation, a part of the host lane"
	@cmake --preset asan >/dev/null
	@cmake --build build/asan --target gantryd gantry gantry-journal $(ASAN_TESTS)
	@scripts/run-lanes build/asan $(addprefix --only ,$(ASAN_TESTS)) --only host_some $(ADD_UP)

# Every object anew, position-independent: five minutes of CPU, without optimisation.
shared: deps
	@cmake --preset shared >/dev/null
	@cmake --build build/shared --target gantryd gantry gantry-keeper gantry-journal libgantry libgantry_shared
	@scripts/run-lanes build/shared --only library_shared

check: build
	@scripts/run-lanes $(BUILD) --quick

test-all: deps-full build
	@scripts/run-lanes $(BUILD)
	@$(MAKE) --no-print-directory asan shared fuzz tidy vm

asan: deps
	@cmake --preset asan >/dev/null
	@cmake --build build/asan
	@scripts/run-lanes build/asan

fuzz: deps-full
	@scripts/run-fuzzers

tidy: deps-full build
	@scripts/run-clang-tidy $(BUILD)

vm: deps-full build
	@scripts/run-vm $(BUILD)

vm-all: deps-full build
	@scripts/run-vm $(BUILD) --all --limit 36000

bench: deps build
	@bench/run $(BUILD)

clean:
	rm -rf build
