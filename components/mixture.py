"""Parts of the rows that count in training at rates of their own: tasks, sources, languages."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from data.errors import DataError, did_you_mean

NO_PART = ""  # of a row without a value in the column


class Mixture(BaseModel):
    """At which rates training sees the parts of the rows (Raffel et al. 2020, section 3.5.2).

    A part's rate is the T-th root of its rows, or of `limit` where it has more; `rates` says them instead. Every row is
    read once an epoch, with a weight: that of a part's rows is its rate over its share of the rows, 1 on the mean of
    all, so that the expected gradient is that of rows drawn at these rates. Only training counts them. Each span has a
    mixture of its own rows.
    """

    model_config = ConfigDict(frozen=True)

    by: str = Field(min_length=1, description="column that says which part a row is of: a `{name}` of the path too")
    limit: int | None = Field(None, gt=0, description="rows that a part counts as at most; all if silent")
    temperature: float = Field(1.0, ge=1, description="T: 1 goes by the rows, far above it all parts count the same")
    rates: dict[str, Annotated[float, Field(gt=0)]] = Field(
        {}, description="a number above 0 for each part, in place of its rows"
    )

    @model_validator(mode="after")
    def _one_way(self) -> "Mixture":
        given = sorted(self.model_fields_set & {"limit", "temperature"})
        if self.rates and given:
            raise ValueError(f"got rates and {' and '.join(given)}, which make rates from rows: keep one way")
        return self

    def weights(self, rows: Mapping[str, int]) -> dict[str, float]:
        """The weight of a row of each part, from how many training rows it has.

        Raises DataError where `rates` has other parts than the rows.
        """
        if self.rates and self.rates.keys() != rows.keys():
            problems = [f"no rate for '{part}'{did_you_mean(part, self.rates)}" for part in rows.keys() - self.rates]
            problems += [f"no training row of '{part}'{did_you_mean(part, rows)}" for part in self.rates.keys() - rows]
            raise DataError("\n".join(f"example_gen.mixture.rates: {problem}" for problem in sorted(problems)))
        rates = self.rates or {part: min(n, self.limit or n) ** (1 / self.temperature) for part, n in rows.items()}
        scale = sum(rows.values()) / sum(rates.values())
        return {part: rates[part] * scale / n for part, n in rows.items()}


def parts_of(column: Any) -> list[str]:
    """The part that each row is of, from the column that says so."""
    return [NO_PART if part is None else str(part) for part in column.to_pylist()]
