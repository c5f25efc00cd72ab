# Makes .venv with the command `holdfast`, the system's packages and those of its tests.
least=0 most=0
usage="usage: ci/setup.sh, at the root of the repository"
[% include "ci/begin.sh" %]

python3 -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
