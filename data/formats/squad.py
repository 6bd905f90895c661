"""SQuAD's JSON, v1.1 and v2 (Rajpurkar et al. 2016, 2018): a question a row, a file at a time."""

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from data.formats import files
from data.formats.base import BATCH_ROWS, Batch, Block, Format, Reject
from data.formats.rows import check_columns, from_values, only_rejects, rejected

LISTS = ("answers", "answer_starts")
COLUMNS = ("id", "title", "question", "context", *LISTS, "is_impossible")


class Squad(Format):
    """`{"data": [{"title", "paragraphs": [{"context", "qas": [{"id", "question", "answers": [{"text",
    "answer_start"}], "is_impossible"}]}]}]}`; a row's line is the number of its question in the file.

    answers and answer_starts (code points of the context) are lists, without anything where a question has no answer.
    """

    extensions = (".json",)

    def plan_file(self, path: str, block_bytes: int) -> list[Block]:
        return [Block(path, 0, files.size(path), columns=COLUMNS, lists=LISTS)]

    def columns(self, path: str) -> tuple[str, ...]:
        return COLUMNS

    def read(self, block: Block, columns: tuple[str, ...]) -> Iterator[Batch]:
        check_columns(block.path, columns, COLUMNS)
        try:
            with files.open_stream(block.path) as file:
                articles = json.loads(file.read().decode("utf-8-sig"))["data"]
            if not isinstance(articles, list):
                raise TypeError("data is no list")
        except files.DAMAGE as error:
            yield only_rejects(columns, [rejected(block.path, 0, files.damage_reason(error))])
        except (ValueError, RecursionError, KeyError, TypeError) as error:
            reason = f"not SQuAD's JSON, an object with a list 'data': {type(error).__name__} {error}"
            yield only_rejects(columns, [rejected(block.path, 0, reason)])
        else:
            found = enumerate(_questions(articles), 1)
            while part := list(islice(found, BATCH_ROWS)):
                yield _batch(block.path, part, columns)


def _batch(path: str, found: list[tuple[int, Any]], columns: tuple[str, ...]) -> Batch:
    good = [(n, row, raw) for n, (row, raw) in found if isinstance(row, dict)]
    bad: list[Reject] = [rejected(path, n, row, _raw(raw)) for n, (row, raw) in found if isinstance(row, str)]
    values = [[row[name] for _, row, _ in good] for name in columns]
    lines = np.array([n for n, _, _ in good], np.int64)
    lists = [name for name in columns if name in LISTS]
    raws = [_raw(raw) for _, _, raw in good]
    return from_values(path, columns, values, lines, bad, raws.__getitem__, lists=lists)


def _questions(articles: list[Any]) -> Iterator[tuple[dict[str, Any] | str, Any]]:
    """(row, or why there is none; what it was read from) of each question."""
    for article in articles:
        paragraphs = article.get("paragraphs") if isinstance(article, dict) else None
        if not isinstance(paragraphs, list):
            yield "an article without a list 'paragraphs'", article
            continue
        for paragraph in paragraphs:
            asked = paragraph.get("qas") if isinstance(paragraph, dict) else None
            if not isinstance(asked, list) or not isinstance(paragraph.get("context"), str):
                yield "a paragraph without a text 'context' and a list 'qas'", paragraph
                continue
            about = {"title": article.get("title"), "context": paragraph["context"]}
            for question in asked:
                yield _row(question, about), question


def _row(question: Any, about: dict[str, Any]) -> dict[str, Any] | str:
    if not isinstance(question, dict) or not isinstance(question.get("question"), str):
        return "no text 'question'"
    impossible = question.get("is_impossible", False)
    answers = [] if impossible is True else question.get("answers", [])
    if not isinstance(answers, list):
        return "'answers' is no list"
    for answer in answers:
        if not isinstance(answer, dict) or not isinstance(answer.get("text"), str):
            return "an answer without a text 'text'"
        if type(answer.get("answer_start")) is not int:
            return "an answer without a whole number 'answer_start'"
    return {
        **about,
        "id": question.get("id"),
        "question": question["question"],
        "answers": [answer["text"] for answer in answers],
        "answer_starts": [str(answer["answer_start"]) for answer in answers],
        "is_impossible": impossible,
    }


def _raw(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")
