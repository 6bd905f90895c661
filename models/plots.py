"""Pictures of an evaluation, drawn without a display. Colours are safe for the colour-blind and print well in grey."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, ORANGE, GREY = "#2b6cb0", "#d9822b", "#8a8f98"
NUMBERS_UP_TO = 20  # labels: beyond it a cell is too small for its number
NAMES_UP_TO = 60  # and beyond this a row is too thin for its name


def confusion_matrix(cells: np.ndarray, labels: Sequence[str], answers: Sequence[str]) -> "Figure":
    """cells <float>[labels, answers], weights of rows; the shade is the share of all rows of the label."""
    from matplotlib.figure import Figure

    width, height = (float(np.clip(0.6 * len(names), 3, 13)) for names in (answers, labels))
    figure = Figure(figsize=(width + 2.0, height + 0.9), layout="constrained")
    axes = figure.add_subplot()
    shares = cells / np.maximum(cells.sum(axis=1, keepdims=True), 1e-12)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, label="share of the label's rows", shrink=0.8)
    if max(len(labels), len(answers)) <= NUMBERS_UP_TO:
        for row, column in np.ndindex(cells.shape):
            if cells[row, column]:
                colour = "white" if shares[row, column] > 0.55 else "#1a202c"
                text = f"{cells[row, column]:.6g}\n{shares[row, column]:.0%}"
                axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)
    if max(len(labels), len(answers)) <= NAMES_UP_TO:
        below, beside = ([n if len(n) <= 24 else n[:23] + "…" for n in names] for names in (answers, labels))
        crowded = max(map(len, below)) * len(below) > 12 * width
        axes.set_xticks(range(len(below)), below, rotation=90 if crowded else 0)
        axes.set_yticks(range(len(beside)), beside)
        axes.set_xticks(np.arange(1, len(below)) - 0.5, minor=True)
        axes.set_yticks(np.arange(1, len(beside)) - 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=1.5)
    axes.set(xlabel="answer", ylabel="right label", title="Confusion matrix, test split")
    axes.tick_params(which="both", length=0)
    return figure


def reliability(bins: Sequence[Mapping[str, float]], ece: float) -> "Figure":
    """Accuracy against confidence, and how many rows each bin has (Guo et al. 2017, figure 1)."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    figure = Figure(figsize=(5, 5.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    left = [b["low"] for b in bins]
    width = [b["high"] - b["low"] for b in bins]
    accuracy, confidence = [b["accuracy"] for b in bins], [b["confidence"] for b in bins]
    upper.bar(
        left, accuracy, width, align="edge", color=BLUE, alpha=0.35, edgecolor="white", label="accuracy of the bin"
    )
    upper.plot([0, 1], [0, 1], "--", color=GREY, label="perfect calibration")
    upper.plot(confidence, accuracy, "o-", color=ORANGE, markersize=4, label="accuracy at its mean confidence")
    upper.set(ylabel="accuracy", ylim=(0, 1.02), title=f"Reliability, test split (calibration error {ece:.3f})")
    figure.legend(loc="outside lower center", frameon=False)
    weights = np.array([b["weight"] for b in bins])
    lower.bar(left, weights / weights.sum(), width, align="edge", color=BLUE, edgecolor="white")
    lower.set(xlabel="confidence: score of the answer", ylabel="share of rows", xlim=(0, 1))
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    return figure


def save(figure: "Figure", path: Path) -> None:
    """Writes a PNG. A letter the font lacks is drawn as a box, without a warning."""
    with warnings.catch_warnings(), path.open("wb") as file:
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(file, format="png", dpi=130, bbox_inches="tight")
