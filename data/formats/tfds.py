"""Data sets of TensorFlow Datasets, fetched and prepared by it on first use: `tfds:imdb_reviews#train[:10%]`."""

import logging
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field

from data.errors import ConfigError, DataError
from data.formats.base import BATCH_ROWS, Batch, Block, Format
from data.formats.rows import check_columns, from_values


class Tfds(Format):
    """A TensorFlow data set: `tfds:name[/config][:version][#split]`, split `train` if none is named.

    A split may be a slice (`test[:10%]`). Class labels are read as their names. A shard is a block.
    Needs `pip install polisemia[tfds]`.
    """

    scheme = "tfds"
    data_dir: str | None = Field(None, description="where data sets are kept; TFDS's own place if not given")

    def plan_file(self, path: str, block_bytes: int) -> list[Block]:
        builder, split = self._builder(path)
        leaves = _leaves(builder.info.features)
        names, lists = tuple(leaves), tuple(name for name, leaf in leaves.items() if leaf.is_list)
        blocks, row = [], 0
        for name, start, end in _shards(builder.info.splits, path, split):
            rows = end - start
            blocks.append(Block(path, row, row + rows, row + 1, names, lists, (f"{name}[{start}:{end}]",)))
            row += rows
        return blocks

    def columns(self, path: str) -> tuple[str, ...]:
        return tuple(_leaves(self._builder(path)[0].info.features))

    def read(self, block: Block, columns: tuple[str, ...]) -> Iterator[Batch]:
        check_columns(block.path, columns, block.columns)
        import tensorflow_datasets as tfds

        builder, _ = self._builder(block.path)
        leaves = _leaves(builder.info.features)
        rows = iter(tfds.as_numpy(builder.as_dataset(split=block.files[0], shuffle_files=False)))
        line = block.line
        while group := list(islice(rows, BATCH_ROWS)):
            values = [[_value(leaves[name], _reach(row, name)) for row in group] for name in columns]
            lines = np.arange(line, line + len(group), dtype=np.int64)
            raw = lambda i, group=group: repr(group[i])  # noqa: E731
            yield from_values(block.path, columns, values, lines, [], raw, block.lists)
            line += len(group)

    def _builder(self, path: str) -> tuple[Any, str]:
        """The prepared data set and the split asked for."""
        try:
            import tensorflow_datasets as tfds
        except ImportError as error:
            raise ConfigError(f"{path}: TensorFlow Datasets is not installed; pip install polisemia[tfds]") from error
        logging.getLogger("absl").setLevel(logging.ERROR)  # it tells at length what it finds
        name, _, split = path.removeprefix("tfds:").partition("#")
        try:
            builder = tfds.builder(name, data_dir=self.data_dir)
            builder.download_and_prepare()
        except Exception as error:  # of many kinds: unknown name, version, no network, a file to fetch by hand
            raise DataError(f"{path}: TensorFlow Datasets says: {str(error).splitlines()[0]}") from error
        return builder, split or "train"


def _shards(splits: Any, path: str, split: str) -> Iterator[tuple[str, int, int]]:
    """(name of the split, first row, row after the last) of each shard, or part of one, that `split` names."""
    import tensorflow_datasets as tfds

    try:
        parts = tfds.core.ReadInstruction.from_spec(split).to_absolute(dict(splits.items()))
    except (ValueError, KeyError, AssertionError) as error:
        known = ", ".join(splits)
        raise DataError(f"{path}: no split {split!r}; wanted one of {known}, or a slice: train[:10%]") from error
    for part in parts:
        info = splits[part.splitname]
        first, last = part.from_ or 0, info.num_examples if part.to is None else part.to
        ends = np.cumsum(info.shard_lengths).tolist()
        for start, end in zip([0, *ends], ends, strict=False):
            if max(start, first) < min(end, last):
                yield part.splitname, max(start, first), min(end, last)


class _Leaf(NamedTuple):
    feature: Any
    is_list: bool


def _leaves(feature: Any, name: str = "", is_list: bool = False) -> dict[str, _Leaf]:
    """Dotted name -> feature. A list of records is read as a list for each of their fields."""
    if hasattr(feature, "feature"):  # a sequence
        return _leaves(feature.feature, name, True)
    if not hasattr(feature, "items"):
        return {name: _Leaf(feature, is_list or len(feature.shape) == 1)}
    below = [_leaves(value, f"{name}.{key}" if name else key, is_list) for key, value in feature.items()]
    return {name: leaf for leaves in below for name, leaf in leaves.items()}


def _reach(row: Any, name: str) -> Any:
    for key in name.split("."):
        row = row[key]
    return row


def _value(leaf: _Leaf, value: Any) -> Any:
    """Plain Python values; a class label by its name, None where there is no label (-1)."""
    if hasattr(leaf.feature, "int2str"):
        names = [leaf.feature.int2str(int(label)) if label >= 0 else None for label in np.atleast_1d(value)]
        return names if leaf.is_list else names[0]
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value
