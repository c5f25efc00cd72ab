"""What a process was told: its variables, and for those that came as files what is in them now."""

from collections.abc import Collection, Iterator, Mapping

from holdfast.runtime.secret_file import SecretFile
from holdfast.runtime.variables import file_variable


class Environ(Mapping[str, str]):
    """{variable: value}; the value of one that came as `<VARIABLE>_FILE` is what the file has now.

    Ask each time, as for each new connection, and a secret that was written anew is in use without
    a restart. A copy, such as `dict(environ)`, is as of its moment.

    Args:
        values: variables that were given themselves. files: {variable: the file of its value}.
    """

    def __init__(self, values: Mapping[str, str], files: Mapping[str, SecretFile]) -> None:
        self._values, self._files = dict(values), dict(files)

    def __getitem__(self, name: str) -> str:
        file = self._files.get(name)
        return self._values[name] if file is None else file.text()

    def __iter__(self) -> Iterator[str]:
        yield from self._values
        yield from self._files

    def __len__(self) -> int:
        return len(self._values) + len(self._files)

    def __repr__(self) -> str:
        return f"Environ({', '.join(sorted(self))})"  # of values, none is told

    def __or__(self, others: Mapping[str, str]) -> "Environ":
        """Return these with further variables, which replace those of the same name."""
        files = {name: file for name, file in self._files.items() if name not in others}
        if isinstance(others, Environ):
            values = {**self._values, **others._values}
            files |= others._files
            return Environ({k: v for k, v in values.items() if k not in files}, files)
        return Environ({**self._values, **others}, files)

    def file(self, name: str) -> str:
        """Return the path of a variable's file; "": it came itself, or not at all."""
        found = self._files.get(name)
        return "" if found is None else found.path

    def without(self, names: Collection[str]) -> "Environ":
        """Return these but for some variables."""
        return Environ(
            {name: value for name, value in self._values.items() if name not in names},
            {name: file for name, file in self._files.items() if name not in names},
        )

    def told(self) -> dict[str, str]:
        """Return what a child of this process is told: files as files, so that it reads them too.

        A secret that came as a file is so in the environment of no process.
        """
        return self._values | {file_variable(name): file.path for name, file in self._files.items()}

    def problems(self) -> dict[str, str]:
        """Return {variable: why its newest value cannot be read}; the one before is in use."""
        for file in self._files.values():
            file.text()
        return {name: file.problem for name, file in self._files.items() if file.problem}
