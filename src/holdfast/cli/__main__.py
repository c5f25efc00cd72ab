"""Lets `python -m holdfast.cli` stand for `holdfast`, whatever PATH says."""

from holdfast.cli.main import main

if __name__ == "__main__":
    main()
