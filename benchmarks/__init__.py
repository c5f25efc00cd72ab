"""The figures of Holdfast, each beside its peer measured in the same run."""
