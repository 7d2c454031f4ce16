"""Conditions on an element of a header, which a site sets: for the choice of series, and for priorities."""

from __future__ import annotations

import re
from typing import Self

from pydantic import BaseModel, ConfigDict, field_validator, model_validator
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword

from dicom_node.dicom_file import texts_of


class HeaderRule(BaseModel):
    """A condition on one element of the header."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    element: str
    """The keyword of PS3.6, for example ConvolutionKernel."""
    matches: str | None = None
    """A regular expression, found anywhere in one of the element's values, in upper or lower case."""
    at_least: float | None = None
    at_most: float | None = None
    """Limits of a number; its first value counts."""

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

    def holds(self, header: Dataset) -> bool:
        """Whether the header meets the condition; False where the element is missing."""
        values = texts_of(header, self.element)
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
