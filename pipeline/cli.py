"""The command line. Results go to standard output, progress and logs to standard error.

Exit codes: 0 done; 1 the run failed; 2 the command or the config is wrong; 3 done, but the model was
not good enough to push.
"""

import contextlib
import io
import json
import os
import sys
from typing import Annotated, Any

import typer

from data.errors import ConfigError, PolisemiaError
from pipeline.generate import generate
from pipeline.quiet import prepare_imports
from pipeline.search import app as search
from pipeline.serve import ANY_FLAG, IMAGE, Image, With, become_server

FAILED, WRONG, NOT_GOOD_ENOUGH = 1, 2, 3

app = typer.Typer(
    name="polisemia",
    help="From raw text to a served language model, on TensorFlow and Keras 3.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(search, name="search")

ConfigPath = Annotated[str, typer.Argument(help="TOML file", metavar="CONFIG")]
Sets = Annotated[list[str], typer.Option("--set", metavar="K=V", help="override a value: section.key=value")]
Home = Annotated[str, typer.Option(help="folder (or gs:// path) of all artifacts")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON object")]


@app.command()
def run(
    config: ConfigPath,
    set: Sets = [],
    home: Home = "runs",
    until: Annotated[str, typer.Option(help="stop after this stage")] = "",
    as_json: Json = False,
) -> None:
    """Make everything CONFIG describes; what is whole already is not made again."""
    from etils import epath

    from pipeline.config import load_config
    from pipeline.graph import STAGES
    from pipeline.home import locked
    from pipeline.report import Screen, print_record
    from pipeline.runner import Run

    checked = load_config(config, set)
    if until and until not in STAGES:
        from data.errors import did_you_mean

        raise ConfigError(f"--until {until}: unknown stage{did_you_mean(until, STAGES)}")
    with Screen(quiet=as_json) as screen:
        job = Run(checked, epath.Path(home), screen.runtime(checked), screen.on_stage)
        with locked(job.root, screen.on_wait):
            job.to(until)
    record = job.record()
    print(json.dumps(record, indent=1, ensure_ascii=False)) if as_json else print_record(record)
    if "served" in record and record["served"] is None:
        raise typer.Exit(NOT_GOOD_ENOUGH)


@app.command()
def retrain(config: ConfigPath, set: Sets = [], home: Home = "runs", as_json: Json = False) -> None:
    """Look at the new spans of CONFIG's data and keep the served model, train it on, or train anew; a new model is
    pushed only where it surely is as good."""
    from etils import epath

    from pipeline.config import load_config
    from pipeline.home import locked
    from pipeline.report import Screen, print_record
    from pipeline.retraining import retrain as decide_and_train

    checked = load_config(config, set)
    root = epath.Path(home) / checked.name
    with Screen(quiet=as_json) as screen, locked(root, screen.on_wait):
        record = decide_and_train(checked, epath.Path(home), screen.runtime(checked), screen.on_stage)
    print(json.dumps(record, indent=1, ensure_ascii=False)) if as_json else print_record(record)
    if record["retrain"]["decision"] != "keep" and not record["retrain"]["pushed"]:
        raise typer.Exit(NOT_GOOD_ENOUGH)


@app.command()
def check(
    config: ConfigPath,
    set: Sets = [],
    deep: Annotated[bool, typer.Option(help="also read all that was made of it, and compare checksums")] = False,
    home: Home = "runs",
) -> None:
    """Check CONFIG and the head of its data, without running anything."""
    from etils import epath

    from pipeline.check import check_artifacts, check_data
    from pipeline.config import load_config

    checked = load_config(config, set)
    for line in check_data(checked):
        print(line, flush=True)
    if deep:
        for line in check_artifacts(epath.Path(home) / checked.name):
            print(line)


@app.command()
def new(
    data: Annotated[str, typer.Argument(help="file (or path pattern) of your texts", metavar="DATA")],
    name: Annotated[str, typer.Option(help="name of the pipeline; from the file's name if empty")] = "",
    family: Annotated[str, typer.Option(help="model family")] = "lstm",
    text: Annotated[str, typer.Option(help="column of the text; guessed if empty")] = "",
    label: Annotated[str, typer.Option(help="column of the label; guessed if empty")] = "",
) -> None:
    """Print a config for a file of yours: `polisemia new reviews.csv > reviews.toml`."""
    from pipeline.check import new_config

    print(new_config(data, name, family, text, label), end="")


@app.command()
def predict(
    model: Annotated[str, typer.Argument(help="a run (runs/NAME), served model or SavedModel", metavar="MODEL")],
    text: Annotated[list[str], typer.Option(help="a text to answer; may be repeated")] = [],
    text_pair: Annotated[list[str], typer.Option(help="the second text of each pair")] = [],
    given: Annotated[
        list[str], typer.Option(metavar="INPUT=TEXT", help="a text for an input of another name: question=...")
    ] = [],
    input: Annotated[str, typer.Option(help="file of texts, in any format that a config reads")] = "",
    output: Annotated[str, typer.Option(help="file for the answers, .jsonl or .parquet")] = "",
    format: Annotated[str, typer.Option(help="format of the input; by its extension if empty")] = "",
    field: Annotated[list[str], typer.Option(metavar="FIELD=COLUMN", help="column a field is in")] = [],
    flat: Annotated[bool, typer.Option(help="merge the prediction into the row; fails on a clash of keys")] = False,
    signature: Annotated[
        str, typer.Option(help="what to ask of the model: embed for vectors, ...")
    ] = "serving_default",
) -> None:
    """Answer texts with an exported model, one JSON object a line."""
    from components.bulk_inferrer import predict_file, predict_texts
    from components.saved_model import find_model
    from components.trusted import check_trusted
    from pipeline.config import field_column, input_text
    from pipeline.report import Screen

    columns = {name: [*texts] for name, texts in (("text", text), ("text_pair", text_pair)) if texts}
    for name, each in map(input_text, given):
        columns.setdefault(name, []).append(each)
    if bool(columns) == bool(input) or bool(input) != bool(output):
        raise ConfigError("predict: give --text or --given (once or more), or --input FILE with --output FILE")
    directory, properties = find_model(model)
    check_trusted(directory)
    if columns:
        for i, prediction in enumerate(predict_texts(directory, properties, columns, signature)):
            row = {name: column[i] for name, column in columns.items()}
            print(json.dumps({**row, "prediction": prediction}, ensure_ascii=False))
        return
    fields = dict(map(field_column, field))
    with Screen() as screen:
        screen.on_stage("predict", "")
        answered, rejected = predict_file(
            directory, properties, input, output, format, fields, flat, signature, screen.progress
        )
    print(json.dumps({"output": output, "rows": answered, "rejected": rejected}, ensure_ascii=False))


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="name of a pipeline, or a folder under the home", metavar="NAME")] = "",
    home: Home = "runs",
    why: Annotated[str, typer.Option(metavar="STAGE", help="say why this stage of NAME last ran again")] = "",
    lineage: Annotated[str, typer.Option(metavar="MODEL", help="walk from a model back to the input files")] = "",
    as_json: Json = False,
) -> None:
    """Show the last run of NAME, all its runs, spans and verdicts, and what it serves (without NAME, every pipeline).

    --lineage takes a served version (runs/NAME/served/MODEL/3), a run or a name, and ends with a Mermaid flowchart.
    """
    from pipeline.showing import print_latest, print_lineage, print_why

    if why and lineage:
        raise ConfigError("show: give --why STAGE or --lineage MODEL, not both")
    if lineage:
        print_lineage(lineage, home, as_json)
    elif why:
        print_why(name, why, home, as_json)
    else:
        print_latest(name, home, as_json)


@app.command()
def clean(
    name: Annotated[str, typer.Argument(help="name of a pipeline, or its folder; all if empty", metavar="NAME")] = "",
    home: Home = "runs",
    keep: Annotated[int, typer.Option(min=1, help="newest runs of each config that are kept")] = 1,
    yes: Annotated[bool, typer.Option("--yes", help="remove; without it, only say what would go")] = False,
    as_json: Json = False,
) -> None:
    """Say which artifacts no kept run needs and what removing them would free; with --yes, remove them.

    Kept is all that the newest runs of each config, a served version or an unfinished run needs. Waits for a run that
    is going on. A home on a bucket has no lock: see to it that no run is going on there.
    """
    from pipeline.report import Screen
    from pipeline.served import find_pipeline, pipelines
    from pipeline.showing import print_clean

    roots = {name: find_pipeline(name, home, "clean")} if name else pipelines(home)
    if not roots:
        raise ConfigError(f"clean: no run under {home} yet")
    with Screen(quiet=as_json) as screen:
        print_clean(roots, home, keep, yes, as_json, screen.on_wait)


@app.command(context_settings=ANY_FLAG)
def serve(context: typer.Context, with_: With = "", image: Image = IMAGE) -> None:
    """Serve a model over TensorFlow Serving's REST and gRPC: `polisemia serve MODEL [--flag=value]...`

    MODEL is a run (runs/NAME), a served model or a SavedModel. The flags are tensorflow_model_server's, such as
    --port=8500 and --rest_api_port=8501, with batching on unless --enable_batching=false; `python -m serving --help`
    explains each.
    """
    become_server(context.args, with_, image)


@app.command()
def rollback(
    name: Annotated[str, typer.Argument(help="name of a pipeline, or its folder", metavar="NAME")],
    to: Annotated[
        int | None, typer.Option(help="version to go back to; the one before the served one if not given")
    ] = None,
    home: Home = "runs",
    as_json: Json = False,
) -> None:
    """Serve an older version of NAME again, under the next number, once it has passed its golden requests."""
    from pipeline.report import Screen
    from pipeline.served import rollback as go_back

    with Screen(quiet=as_json) as screen:
        screen.on_stage("rollback", name)
        record = go_back(name, to, home, screen.on_wait)
    served = record["served"]
    print(
        json.dumps(record, indent=1, ensure_ascii=False)
        if as_json
        else f"served: {served['path']}, version {served['copy_of']}'s model again"
    )


app.command()(generate)


def main(args: list[str] | None = None) -> None:
    """Runs the command line; every error of ours is one message and an exit code."""
    prepare_imports()
    if isinstance(sys.stdout, io.TextIOWrapper):  # the shell's bytes that are no UTF-8 go out as JSON's own escapes
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app(args=args)
    except ConfigError as error:
        _fail(WRONG, error.problems)
    except PolisemiaError as error:
        _fail(FAILED, str(error).splitlines())
    except KeyboardInterrupt:
        _fail(130, ["stopped; the same command goes on from where it was"])
    except BrokenPipeError:
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.close()
        os._exit(FAILED)


def _fail(code: int, lines: list[str]) -> Any:
    for line in lines:
        print(f"error: {line}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
