"""Long texts in overlapping windows: how they are cut, for token records; models/windows.py cuts alike in the graph.

Windows are of the last text: of a text alone, or of a pair's second, each beside the whole first. A window is as wide
as the room that packing leaves it, and the next one begins `stride` tokens further on.
"""

from typing import NamedTuple

import numpy as np

ADDED, ADDED_PAIR = 2, 4  # special tokens that packing puts around a text, and a pair, at most
SPACE = 32


class Windows(NamedTuple):
    """owner <int64>[W]: the row that each is of, rows in order; starts and sizes <int64>[W], in tokens of that row."""

    owner: np.ndarray
    starts: np.ndarray
    sizes: np.ndarray


def cut(lengths: np.ndarray, beside: np.ndarray | None, max_tokens: int, stride: int) -> Windows:
    """At least one window a row. lengths <int>[rows] of the text; beside: of the first text of a pair."""
    if beside is None:
        width = np.full(len(lengths), max(max_tokens - ADDED, 1))
    else:
        room = max(max_tokens - ADDED_PAIR, 2)
        width = room - np.minimum(beside, (room + 1) // 2)
    step = np.minimum(stride, width)
    counts = 1 + -(-np.maximum(lengths - width, 0) // step)
    owner = np.repeat(np.arange(len(lengths)), counts)
    starts = (np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)) * step[owner]
    return Windows(owner, starts, np.minimum(lengths[owner] - starts, width[owner]))


def whole(splits: np.ndarray, windows: Windows) -> Windows:
    """For each window the whole of a row of something else."""
    return Windows(windows.owner, np.zeros_like(windows.starts), np.diff(splits)[windows.owner])


def sliced(values: np.ndarray, splits: np.ndarray, windows: Windows) -> tuple[np.ndarray, np.ndarray]:
    """Rows (values <...>[total], splits <int64>[rows + 1]) as windows of them."""
    ends = np.cumsum(windows.sizes)
    first = splits[windows.owner] + windows.starts
    index = np.arange(windows.sizes.sum()) + np.repeat(first - (ends - windows.sizes), windows.sizes)
    return values[index], np.concatenate([[0], ends])


def of_words(data: np.ndarray, splits: np.ndarray, windows: Windows) -> Windows:
    """Windows over words as windows over the bytes of rows where a space stands between words; data <uint8>."""
    spaces = np.flatnonzero(data == SPACE)
    row = np.searchsorted(splits, spaces, side="right") - 1
    words = np.bincount(row, minlength=len(splits) - 1) + 1  # a row's words; one that has none counts as an empty one
    first = np.concatenate([[0], np.cumsum(words)[:-1]])
    begins = np.sort(np.concatenate([splits[:-1], spaces + 1]), kind="stable")
    ends = np.sort(np.concatenate([splits[1:], spaces]), kind="stable")
    word = first[windows.owner] + windows.starts
    last = np.maximum(word + windows.sizes - 1, word)
    starts = begins[word] - splits[windows.owner]
    return Windows(windows.owner, starts, np.where(windows.sizes > 0, ends[last] - begins[word], 0))
