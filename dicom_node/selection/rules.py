"""Rules of the configuration, by which a site chooses the series itself."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydicom.datadict import tag_for_keyword

from dicom_node.dicom_file import texts_of
from dicom_node.selection.series_facts import SeriesFacts


class SelectionRule(BaseModel):
    """A condition on one element of the header, and what follows where it holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    element: str
    """The keyword of PS3.6, for example ConvolutionKernel."""
    matches: str | None = None
    """A regular expression, found anywhere in one of the element's values, in upper or lower case."""
    at_least: float | None = None
    at_most: float | None = None
    """Limits of a number; its first value counts."""
    then: Literal["require", "exclude", "prefer"]
    """require: a series that does not meet it is set aside; exclude: one that does is; prefer: it is chosen first."""

    @field_validator("element")
    @classmethod
    def _is_a_keyword(cls, keyword: str) -> str:
        if tag_for_keyword(keyword) is None:
            raise ValueError("not the keyword of a DICOM element")
        return keyword

    @field_validator("matches")
    @classmethod
    def _is_a_pattern(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return pattern

    @model_validator(mode="after")
    def _has_a_condition(self) -> Self:
        if self.matches is None and self.at_least is None and self.at_most is None:
            raise ValueError("a rule needs matches, at_least or at_most")
        return self

    def holds(self, facts: SeriesFacts) -> bool:
        """Whether the series meets the condition; False where the element is missing."""
        values = texts_of(facts.sample, self.element)
        if not values:
            return False
        if self.matches is not None and not any(re.search(self.matches, text, re.IGNORECASE) for text in values):
            return False
        return (self.at_least is None and self.at_most is None) or self._is_within(values[0])

    def _is_within(self, text: str) -> bool:
        try:
            number = float(text)
        except ValueError:
            return False
        return (self.at_least is None or number >= self.at_least) and (self.at_most is None or number <= self.at_most)


class SelectionSettings(BaseModel):
    """Which series of a study are analysed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    series: Literal["best", "all"] = "best"
    """`best`: one series of each study; `all`: every series that a peer sends."""
    quiet_period_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """A study is complete when no instance of it has arrived for this long, and at least `node.quiet_period_s`."""
    completion_limit_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 120.0
    """How long a quiet study waits for slices that are missing between others, or that its PACS has."""
    rules: tuple[SelectionRule, ...] = ()
