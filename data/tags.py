"""Tags of tokens: what the schemes mean, from one to another, and the spans they stand for.

tokens  U.N.   official  Rex    Smith  heads  Baghdad
IOB1    I-ORG  O         I-PER  I-PER  O      I-LOC      B- only where a span follows another of its type
BIO     B-ORG  O         B-PER  I-PER  O      B-LOC      B- where any span starts (IOB2)
BIOES   S-ORG  O         B-PER  E-PER  O      S-LOC      E- where it ends, S- where it is one token
plain   NOUN   ADJ       NOUN   NOUN   VERB   NOUN       no spans: parts of speech
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

Scheme = Literal["plain", "iob1", "bio", "bioes"]
OUTSIDE = "O"


class Span(NamedTuple):
    """Tokens `start` to `end` (exclusive) of a row are one thing of type `kind`."""

    kind: str
    start: int
    end: int


def scheme_of(rows: Iterable[Sequence[str]]) -> Scheme:
    """The scheme that tagged rows are written in.

    IOB1 and BIO differ in how a span that follows none of its type starts; published files break their own scheme here
    and there, so the more frequent way decides. What has no spans is plain.
    """
    prefixes: Counter[str] = Counter()
    fresh: Counter[str] = Counter()  # of the tags that follow none of their type
    for tags in rows:
        before = ""
        for tag in tags:
            prefix, dash, kind = tag.partition("-")
            if tag != OUTSIDE:
                if not dash or not kind or prefix not in ("B", "I", "E", "S", "L", "U"):
                    return "plain"
                prefixes[prefix] += 1
                fresh[prefix] += before != kind
            before = kind
    if not prefixes:
        return "plain"
    if any(prefixes[prefix] for prefix in "ESLU"):
        return "bioes"
    return "iob1" if fresh["I"] > fresh["B"] else "bio"


def to_bio(tags: Sequence[str], scheme: Scheme) -> list[str]:
    """The same spans in BIO. BIOES written as BILOU (L for E, U for S) is taken too; plain tags stay as they are."""
    if scheme == "plain":
        return list(tags)
    made, before = [], OUTSIDE
    for tag in tags:
        prefix, _, kind = tag.partition("-")
        starts = prefix in "BSU" or before.partition("-")[2] != kind or before[:1] in ("E", "S", "L", "U")
        made.append(OUTSIDE if tag == OUTSIDE else f"{'B' if starts else 'I'}-{kind}")
        before = tag
    return made


def spans(tags: Sequence[str]) -> list[Span]:
    """The spans of BIO tags, as conlleval reads them: an I- that continues nothing starts a span."""
    found: list[Span] = []
    for place, tag in enumerate([*tags, OUTSIDE]):
        prefix, _, kind = tag.partition("-")
        goes_on = prefix == "I" and found and found[-1].end == place and found[-1].kind == kind
        if goes_on:
            found[-1] = found[-1]._replace(end=place + 1)
        elif tag != OUTSIDE:
            found.append(Span(kind, place, place + 1))
    return found


def allowed(labels: Sequence[str]) -> tuple[list[list[bool]], list[bool], list[bool]]:
    """Which BIO label may follow which [from][to], start a row, end a row; where labels are plain all may.

    I-X follows only B-X and I-X. Every label may end a row.
    """
    bio = OUTSIDE in labels and all(label == OUTSIDE or label[:2] in ("B-", "I-") for label in labels)

    def may(before: str, label: str) -> bool:
        return not bio or label[:2] != "I-" or (before != OUTSIDE and before[2:] == label[2:])

    transitions = [[may(before, label) for label in labels] for before in labels]
    return transitions, [may(OUTSIDE, label) for label in labels], [True] * len(labels)
