"""Documents to sentences."""

import pytest

from data.sentences import sentences


@pytest.mark.parametrize(
    ("document", "found"),
    [
        ("It rains. It pours! Why?", ["It rains.", "It pours!", "Why?"]),
        ("¿Qué tal? ¡Bien! «Gracias.» Y tú…  nada", ["¿Qué tal?", "¡Bien!", "«Gracias.»", "Y tú…", "nada"]),
        ('He said "no." She left.\n\nA title\nand a line', ['He said "no."', "She left.", "A title", "and a line"]),
        ("3.14 is pi, see a.b.c", ["3.14 is pi, see a.b.c"]),
        (" \n ", []),
        ("", []),
    ],
)
def test_sentences(document, found):
    assert sentences(document) == found
