# What a change has to stand before an image is built of it.
least=0 most=0
usage="usage: ci/test.sh, at the root of the repository, after ci/setup.sh"
[% include "ci/begin.sh" %]

[% include "ci/place.sh" %]
holdfast check [= typed =]
holdfast render [= typed =] --to "$folder" --check
python -m pytest
