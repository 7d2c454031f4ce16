"""Rules of the configuration, by which a site chooses the series itself."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from dicom_node.header_rule import HeaderRule


class SelectionRule(HeaderRule):
    """A condition on one element of the header, and what follows where it holds."""

    then: Literal["require", "exclude", "prefer"]
    """require: a series that does not meet it is set aside; exclude: one that does is; prefer: it is chosen first."""


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
