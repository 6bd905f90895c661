"""What is read: the blocks of the input, the share of each split, the columns the task's fields are in."""

from typing import Any, NamedTuple

from components.sources import find_files, patterns_of
from data import schema
from data.errors import ConfigError, did_you_mean

DEV = "dev"  # given train and dev only, dev is the test split


class Plan(NamedTuple):
    """A block to read: the name of its shard, what the paths of its files tell, the shares of the splits."""

    shard: str
    block: Any
    reader: Any
    captures: dict[str, dict[str, str]]  # path -> name -> value
    shares: dict[str, float]


def plan_blocks(input: str | dict[str, str], format: Any, splits: dict[str, float], span: str) -> list[Plan]:
    """Every block of every file, with the shares of the splits that its rows go to."""
    from data.formats import format_for

    options = dict(format) if isinstance(format, dict) else {"name": format or None}
    plans = []
    read = patterns_of(input, span)
    for index, (pattern, shares) in enumerate(shares_of(input, splits)):
        if pattern not in read:
            continue
        files = find_files(pattern, span)
        reader = format_for(files[0].path, **options)
        captures = {file.path: file.captures for file in files}
        numbers = {file.path: number for number, file in enumerate(files)}
        for block in reader.plan(*captures):
            paths = [path for path in block.files or (block.path,) if path in captures] or [block.path]
            shard = f"{index}-{numbers.get(paths[0], 0):05d}-{block.start:012d}"
            plans.append(Plan(shard, block, reader, {path: captures.get(path, {}) for path in paths}, shares))
    return plans


def shares_of(input: str | dict[str, str], splits: dict[str, float]) -> list[tuple[str, dict[str, float]]]:
    """Each input pattern with the shares its rows are cut by. Raises ConfigError for splits that there are not."""
    if isinstance(input, str):
        unknown = [split for split in splits if split not in schema.SPLITS]
        if unknown:
            hints = {split: did_you_mean(split, schema.SPLITS) for split in unknown}
            raise ConfigError(*(f"example_gen.splits.{s}: unknown split{hint}" for s, hint in hints.items()))
        if not splits.get("train"):
            raise ConfigError(f"example_gen.splits: got {splits}; wanted a share above 0 for train")
        return [(input, splits)]
    unknown = [s for s in input if s not in (*schema.SPLITS, DEV)]
    if unknown or "train" not in input:
        raise ConfigError(f"example_gen.input: got {sorted(input)}; wanted train and some of valid, test, dev")
    dev = "valid" if "test" in input else "test"
    given = {dev if split == DEV else split: pattern for split, pattern in input.items()}
    valid = 0.0 if "valid" in given else splits.get("valid", 0.0)  # a valid split that is not given is cut from train
    train = {"train": 1.0 - valid, "valid": valid}
    return [(pattern, train if split == "train" else {split: 1.0}) for split, pattern in given.items()]


def field_columns(task: str, fields: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """(field, column) for every field of the task, required ones first. Raises ConfigError for a field it has not."""
    from models.tasks import TASKS

    spec = TASKS[task]
    known = (*spec.required, *spec.optional)
    unknown = [name for name in fields if name not in known]
    if unknown:
        hints = {name: did_you_mean(name, known) for name in unknown}
        raise ConfigError(*(f"example_gen.fields.{n}: {task} has no such field{hint}" for n, hint in hints.items()))
    return tuple((name, fields.get(name, name)) for name in known if name in spec.required or name in fields)


def check_columns(plans: list[Plan], task: str, section: dict[str, Any]) -> None:
    """Every wrong column name of the first file of each input, at once, before any worker starts."""
    wanted = {f"fields.{name}": column for name, column in field_columns(task, section["fields"])}
    wanted |= {f"keep[{i}]": column for i, column in enumerate(section["keep"])}
    wanted |= {"split_by": section["split_by"]} if section["split_by"] else {}
    wanted |= {"mixture.by": section["mixture"]["by"]} if section["mixture"] else {}
    renamed = section["fields"]
    problems = [
        f"example_gen.{where}: column '{column}' has the name of a field that is in column '{renamed[column]}'; wanted "
        "another name"
        for where, column in wanted.items()
        if where.startswith(("keep", "mixture")) and renamed.get(column, column) != column
    ]
    for plan in {p.shard.split("-")[0]: p for p in reversed(plans)}.values():
        offered = (*plan.reader.columns(plan.block.path), *next(iter(plan.captures.values())))
        for where, column in wanted.items():
            if not any(column == o or column.startswith(f"{o}.") or o.startswith(f"{column}.") for o in offered):
                hint = did_you_mean(column, offered)
                problems.append(f"example_gen.{where}: {plan.block.path} has no column '{column}'{hint}")
    if problems:
        raise ConfigError(*dict.fromkeys(problems))
