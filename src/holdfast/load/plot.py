"""A picture of a load's figures, by matplotlib: goodput, latencies, refusals."""

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Protocol

from holdfast.errors import SettingError
from holdfast.load.result import LevelResult, LoadReport

KINDS = ("png", "svg")
_COLOURS = {"critical": "#b2182b", "normal": "#2166ac", "bulk": "#878787"}
_INCHES = (7.5, 10.0)


class _Axes(Protocol):
    """What is used of `matplotlib.axes.Axes`."""

    def plot(self, x: object, y: object, style: str = "", /, **options: object) -> object: ...

    def axhline(self, y: float, **options: object) -> object: ...

    def set_xlabel(self, text: str) -> object: ...

    def set_ylabel(self, text: str) -> object: ...

    def set_ylim(self, bottom: float, top: float | None = None) -> object: ...

    def set_yscale(self, kind: str) -> object: ...

    def legend(self) -> object: ...


def _matplotlib(module: str) -> ModuleType:
    """Return a module of matplotlib. Raises SettingError."""
    try:
        return import_module(f"matplotlib.{module}")
    except ImportError as exc:
        raise SettingError(
            ["--out draws, which needs matplotlib: pip install 'holdfast[plot]'; --json does not"]
        ) from exc


def check() -> None:
    """See, before anything is measured, whether a picture can be drawn. Raises SettingError."""
    _matplotlib("figure")


def draw(report: LoadReport, folder: Path) -> list[Path]:
    """Write `load.png` and `load.svg` into a folder; return their paths. Raises SettingError."""
    figure = _matplotlib("figure").Figure(figsize=_INCHES, layout="constrained")
    panels: tuple[_Axes, _Axes, _Axes] = tuple(figure.subplots(3, 1, sharex=True))
    goodput, latency, refusals = panels
    levels = sorted(report.levels, key=lambda level: level.per_s)
    figure.suptitle(f"{report.system}: capacity {report.capacity_per_s:,.0f}/s")
    _goodput(goodput, report, levels)
    _latency(latency, report, levels)
    _refusals(refusals, levels)
    refusals.set_xlabel("offered requests/s")
    paths = [folder / f"load.{kind}" for kind in KINDS]
    for path in paths:
        figure.savefig(path)
    return paths


def _goodput(axes: _Axes, report: LoadReport, levels: list[LevelResult]) -> None:
    offered = [level.per_s for level in levels]
    corners = sorted({0.0, report.capacity_per_s, *offered})
    ideal = [min(one, report.capacity_per_s) for one in corners]
    axes.plot(corners, ideal, ":", color="black", label="ideal")
    axes.plot(
        offered,
        [_goodput_of(level, "all", report) for level in levels],
        "o-",
        label="answered well",
    )
    for tier in _tiers(levels):
        good = [_goodput_of(level, tier, report) for level in levels]
        axes.plot(offered, good, ".--", color=_COLOURS[tier], label=tier)
    axes.set_ylabel("good answers/s, with what they start")
    axes.set_ylim(0)
    axes.legend()


def _latency(axes: _Axes, report: LoadReport, levels: list[LevelResult]) -> None:
    offered = [level.per_s for level in levels]
    for name, field in (("p99", "p99_ms"), ("p50", "p50_ms"), ("refusal p50", "refusal_p50_ms")):
        axes.plot(offered, [_of(level, "all", field) for level in levels], "o-", label=name)
    axes.axhline(report.patience_s * 1e3, color="black", linestyle=":", label="patience")
    axes.set_yscale("log")
    axes.set_ylabel("ms from when it was due")
    axes.legend()


def _refusals(axes: _Axes, levels: list[LevelResult]) -> None:
    offered = [level.per_s for level in levels]
    for tier in _tiers(levels) or ["all"]:
        shares = [_refused(level, tier) for level in levels]
        axes.plot(offered, shares, "o-", color=_COLOURS.get(tier), label=tier)
    axes.set_ylabel("refused, % of the tier")
    axes.set_ylim(0, 100)
    axes.legend()


def _tiers(levels: list[LevelResult]) -> list[str]:
    """Return the tiers, where there are several."""
    names = list(dict.fromkeys(one.tier for level in levels for one in level.tiers[:-1]))
    return names if len(names) > 1 else []


def _of(level: LevelResult, tier: str, field: str) -> float:
    """Return a figure of a tier; NaN, which leaves a gap, where there is none."""
    found = [getattr(one, field) for one in level.tiers if one.tier == tier]
    return float("nan") if not found or found[0] is None else float(found[0])


def _goodput_of(level: LevelResult, tier: str, report: LoadReport) -> float:
    return _of(level, tier, "goodput") * report.capacity_per_s


def _refused(level: LevelResult, tier: str) -> float:
    found = [one for one in level.tiers if one.tier == tier]
    if not found:
        return float("nan")
    refused = sum(one.refused_429 + one.refused_503 for one in found)
    return 100 * refused / (found[0].offered_per_s * level.seconds)
