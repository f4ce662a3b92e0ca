# Two commands: "make live" sets everything up and runs the main job, "make test" sets everything up and runs every check.
# "make check" is for in between: lint, types, and the tests that need no plug-in build, sound server, cluster or minute.
SHELL := /bin/bash
PYTHON ?= python3
QUERY ?= dog barking
VENV := .venv
TEST_VENV := .venv-test
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo -E)
APT := DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get

# what building plug-ins takes (marssep export plugin), besides ONNX Runtime's header: see export/plugin/onnxruntime-headers
PLUGIN_TOOLS := g++:g++ make:make /usr/share/dpf/Makefile.plugins.mk:dpf-source /usr/include/nlohmann/json.hpp:nlohmann-json3-dev \
  pkg-config:pkg-config /usr/include/X11/Xlib.h:libx11-dev /usr/include/GL/gl.h:libgl-dev

.PHONY: live test check bench clean plugin-tools system-live system-test

live: $(VENV)/installed
	@if $(VENV)/bin/marssep live --list-devices 2>/dev/null | grep -q .; then \
	  exec $(VENV)/bin/marssep live --query "$(QUERY)"; \
	else \
	  echo "no sound device here: running the demo"; \
	  exec $(VENV)/bin/marssep live --demo --query "$(QUERY)"; \
	fi

test: $(TEST_VENV)/installed
	$(TEST_VENV)/bin/ruff check .
	$(TEST_VENV)/bin/ruff format --check .
	$(TEST_VENV)/bin/mypy
	$(TEST_VENV)/bin/pytest

check: $(TEST_VENV)/installed
	$(TEST_VENV)/bin/ruff check .
	$(TEST_VENV)/bin/ruff format --check .
	$(TEST_VENV)/bin/mypy
	$(TEST_VENV)/bin/pytest -m "not slow and not plugin and not jack and not ray and not browser"

bench: $(TEST_VENV)/installed
	$(TEST_VENV)/bin/pip install -q pyrnnoise
	$(TEST_VENV)/bin/python tests/benchmarks/run.py

# what each set-up needs of the system: a list of "command-or-library:package"
define install_missing
	@missing=""; for need in $(1); do \
	  what=$${need%%:*}; package=$${need##*:}; \
	  { command -v $$what || ldconfig -p | grep -q $$what || [ -e $$what ]; } >/dev/null 2>&1 || missing="$$missing $$package"; \
	done; \
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || missing="$$missing python3-venv"; \
	if [ -n "$$missing" ]; then \
	  command -v apt-get >/dev/null || { echo "please install:$$missing"; exit 1; }; \
	  $(APT) update -q && $(APT) install -y -q --no-install-recommends $$missing; \
	fi
endef

system-live:
	$(call install_missing,libportaudio.so.2:libportaudio2)

system-test:
	$(call install_missing,libportaudio.so.2:libportaudio2 jackd:jackd2 ffmpeg:ffmpeg /usr/share/wordnet/data.noun:wordnet-base \
	  $(PLUGIN_TOOLS) lv2apply:lilv-utils jalv:jalv sord_validate:sordi /usr/lib/lv2/core.lv2/lv2core.ttl:lv2-dev Xvfb:xvfb \
	  node:nodejs npm:npm)
	@command -v chromium chromium-browser google-chrome >/dev/null || $(APT) install -y -q --no-install-recommends chromium \
	  || echo "no Chromium: the page's browser tests will be skipped"
	@command -v pulseaudio pipewire-pulse >/dev/null \
	  || $(APT) install -y -q --no-install-recommends pulseaudio pulseaudio-utils libasound2-plugins \
	  || echo "no PulseAudio: the test of the virtual microphone will be skipped"

plugin-tools:
	$(call install_missing,$(PLUGIN_TOOLS))
	export/plugin/onnxruntime-headers /usr/local

$(VENV)/installed: pyproject.toml | system-live
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install -q --disable-pip-version-check .
	@touch $@

$(TEST_VENV)/installed: pyproject.toml | system-test
	$(PYTHON) -m venv $(TEST_VENV)
	$(TEST_VENV)/bin/pip install -q --disable-pip-version-check -e ".[train,encoders,research,dev]"
	export/plugin/onnxruntime-headers $(TEST_VENV) || echo "no ONNX Runtime header: the plug-in tests will be skipped"
	@touch $@

clean:
	rm -rf $(VENV) $(TEST_VENV) build dist *.egg-info
