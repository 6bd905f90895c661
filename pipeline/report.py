"""What a person sees of a run: progress while it works, a table of stages and results when it is done."""

import time
from typing import Any

from etils import epath
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from components.base import Runtime
from pipeline.config import Config
from pipeline.home import is_chief

INTERVAL_SECONDS = 5.0  # between lines of progress where the screen is no terminal


class Screen:
    """Progress of the stages on standard error: a bar with the time left on a terminal, lines elsewhere."""

    def __init__(self, quiet: bool = False):
        self.console = Console(stderr=True, quiet=quiet)
        self.bar = Progress(
            TextColumn("{task.description:<20}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
        )
        self.stage, self.started, self.told = "", 0.0, 0.0
        self.task: TaskID | None = None

    def __enter__(self) -> "Screen":
        self.bar.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self.bar.stop()

    def runtime(self, config: Config) -> Runtime:
        return Runtime(beam=config.beam, progress=self.progress, notice=self.notice, is_chief=is_chief())

    def on_wait(self, owner: str) -> None:
        self.console.print(f"waiting: this home is in use by {owner}")

    def on_stage(self, stage: str, span: str) -> None:
        """A stage starts to work."""
        if self.task is not None:
            self.bar.remove_task(self.task)
        self.stage = f"{stage} {span}".strip()
        self.started = self.told = time.monotonic()
        self.task = self.bar.add_task(self.stage, total=None)
        if not self.console.is_terminal:
            self.console.print(self.stage)

    def progress(self, done: int, total: int) -> None:
        """The stage at work is this far; on a terminal the bar tells, elsewhere a line now and then."""
        if self.task is not None:
            self.bar.update(self.task, completed=done, total=total)
        now = time.monotonic()
        if not self.console.is_terminal and done and now - self.told > INTERVAL_SECONDS:
            left = (now - self.started) * (total - done) / done
            self.console.print(f"{self.stage}: {done} of {total}, about {left:.0f} s left")
            self.told = now

    def notice(self, text: str) -> None:
        """What the stage at work has to say, once."""
        self.console.print(f"{self.stage}: {text}", highlight=False, soft_wrap=True)


def print_record(record: dict[str, Any]) -> None:
    """The closing table of stages, then what the evaluator found and where the model is served."""
    console = Console()
    table = Table(box=None, pad_edge=False)
    for column in ("stage", "span", "seconds", "", "artifact"):
        table.add_column(column, justify="right" if column == "seconds" else "left", no_wrap=True)
    for stage, entries in record["stages"].items():
        for entry in entries:
            made = "cached" if entry["cached"] else "made"
            table.add_row(stage, entry["span"], f"{entry['seconds']:.1f}", made, entry["fingerprint"])
    console.print(table)
    for line in summary(record):
        console.print(line, markup=False, emoji=False, highlight=False, soft_wrap=True)
    if versions := record.get("versions"):
        console.print(_versions(versions))


def _versions(versions: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, title="versions", title_justify="left")
    for column in ("version", "", "model artifact", "metrics", "replaces", "copy of"):
        table.add_column(column, no_wrap=True)
    for each in versions:
        metrics = "  ".join(f"{name} {value:.4f}" for name, value in list((each["metrics"] or {}).items())[:2])
        numbers = (str(each[name] or "") for name in ("replaces", "copy_of"))
        table.add_row(str(each["version"]), each["state"], each["model_artifact"], metrics, *numbers)
    return table


def summary(record: dict[str, Any]) -> list[str]:
    """Plain sentences: metrics with their intervals beside the baseline, remarks, the verdict, the served path."""
    evaluation, lines = record.get("evaluation"), []
    if evaluation:
        lines.append("")
        wide = max(map(len, evaluation["metrics"]), default=0)
        for name, metric in evaluation["metrics"].items():
            baseline = evaluation["baseline"].get(name)
            beside = f"   (baseline {baseline:.4f})" if baseline is not None else ""
            interval = f"95 % [{metric['low']:.4f}, {metric['high']:.4f}]"
            lines.append(f"{name:<{wide}} {metric['value']:>8.4f}   {interval}{beside}")
        lines += evaluation["remarks"] + evaluation["reasons"]
    if search := record.get("search"):
        lines += [f"search: {search['documents']} documents in {search['path']}"]
        lines += judged_lines(search.get("metrics", {}))
    for span, leaks in record.get("leaks", {}).items():
        counts = " and ".join(f"{count} {how}" for how, count in leaks.items())
        lines.append(f"span {span}: {counts} copies of earlier test rows, which are not trained on")
    if retrained := record.get("retrain"):
        lines += [f"decision: {retrained['decision']}: {'; '.join(retrained['reasons'])}"]
        lines += [retrained["verdict"]] if "verdict" in retrained else []
    if served := record.get("served"):
        lines += _served(record["name"], served)
    elif "served" in record:
        lines.append("not pushed: the model was not good enough")
    return lines


def judged_lines(metrics: dict[str, dict[str, Any]]) -> list[str]:
    """A line for each ranking, its metrics with their 95 % intervals."""
    wide = max(map(len, metrics), default=0)
    shown = {
        how: (f"{name} {each['value']:.4f} [{each['low']:.4f}, {each['high']:.4f}]" for name, each in measured.items())
        for how, measured in metrics.items()
    }
    return [f"{how:<{wide}}   {'   '.join(each)}" for how, each in shown.items()]


def _served(name: str, served: dict[str, Any]) -> list[str]:
    again = f", version {served['copy_of']}'s model again" if "copy_of" in served else ""
    lines = [f"served: {served['path']}{again}"]
    if own := served.get("pushed"):
        there = epath.Path(served["path"]).with_name(str(own)).exists()
        back = f"`polisemia rollback {name} --to {own}` serves it" if there else "pusher.keep has removed it since"
        lines.append(f"this run's own model was version {own} and is not pushed again; {back}")
    return lines
