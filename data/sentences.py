"""Documents to sentences, by their punctuation."""

import re

# What ends a sentence with the quotes and brackets that close behind it, if white space follows; or the end of a line.
END = re.compile(r"(?<=[.!?…。！？])[\"'»”’)\]]*\s+|\s*\n\s*")


def sentences(document: str) -> list[str]:
    """The sentences of a document, in their order, none empty.

    An abbreviation ends one too ("Mr."): what is learned from pairs of sentences bears that, and no list of
    abbreviations fits every language.
    """
    ends = [match.end() for match in END.finditer(document)]
    found = (document[start:end].strip() for start, end in zip([0, *ends], [*ends, len(document)], strict=True))
    return [sentence for sentence in found if sentence]
