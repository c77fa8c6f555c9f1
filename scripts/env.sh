# Sourced by the other scripts: the project's own environment, in .venv.
#
#   prepare EXTRAS   creates or completes it; afterwards python and grace are in $VENV/bin.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
VENV=$PWD/.venv

# One process for each core, without further threads (OMP_NUM_THREADS=1): they would slow the others down. Neighbouring
# tests run in one process, because they share fixtures; a process that has nothing left takes tests from another.
PARALLEL="--numprocesses=auto --dist=worksteal"

say() { printf '\n── %s\n' "$*" >&2; }

find_python() {
  local name
  for name in "${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11 python; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      printf '%s\n' "$name"
      return
    fi
  done
  echo "There is no Python 3.11 or newer on the PATH. Install one, or name it: PYTHON=/path/to/python $0" >&2
  exit 2
}

prepare() {
  local extras=$1 made_of had extra missing= python
  made_of=$(cat pyproject.toml constraints.txt | cksum)
  had=$(cat "$VENV/grace-stamp" 2>/dev/null || true)
  for extra in ${extras//,/ }; do
    [[ ",${had%% *}," == *",$extra,"* ]] || missing=1
  done
  if [ -z "$missing" ] && [ "${had#* }" = "$made_of" ]; then
    return
  fi
  if [ ! -x "$VENV/bin/python" ]; then
    python=$(find_python)
    say "creating a Python environment in .venv ($("$python" --version))"
    "$python" -m venv "$VENV"
  fi
  say "installing grace-client[$extras] into it (a few minutes the first time, mostly for PyTorch)"
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check \
    --constraint constraints.txt --editable ".[$extras]"
  printf '%s' "$extras $made_of" >"$VENV/grace-stamp"
}
