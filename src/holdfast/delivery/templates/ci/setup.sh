# Makes .venv with the command `holdfast`, the system's packages and those of its tests.
least=0 most=0
usage="usage: ci/setup.sh, at the root of the repository"
[% include "ci/begin.sh" %]

pip=(.venv/bin/pip install --quiet --disable-pip-version-check)
python3 -m venv .venv
[% for lock in build.development %]
"${pip[@]}" --require-hashes --requirement [= lock =]
[% endfor %]
[% if build.project %]
"${pip[@]}" --require-hashes --requirement [= build.backend =]
"${pip[@]}" --no-deps --no-build-isolation --editable .
[% endif %]
