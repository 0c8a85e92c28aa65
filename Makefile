.PHONY: drill test nightly check setup
BIN := .venv/bin

drill:           ## set-up, then the main drill: a data center dies under load
	@scripts/setup docker
	@$(BIN)/drillbook run center-loss

test:            ## set-up, then every test, real drills included
	@scripts/setup docker
	@$(BIN)/drillbook prepare
	@$(BIN)/pytest -m "not docker and not nightly" -n $$(nproc) --dist loadfile
	@$(BIN)/pytest -m "docker and not nightly" --again 1 --durations=20

nightly:         ## set-up, then all that runs for real: every drill, and every system that lies
	@scripts/setup docker
	@$(BIN)/drillbook prepare
	@$(BIN)/pytest -m docker --again 1

check:           ## lint and types
	@scripts/setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

setup:           ## what drill and test need, and nothing else
	@scripts/setup docker
