# The folder that this was rendered to, wherever it is called from.
folder=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PATH="$PWD/.venv/bin:$PATH"
