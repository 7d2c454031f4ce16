"""Writes the tables of dicom_node/CONFORMANCE.md between their marks: `make conformance`."""

from __future__ import annotations

from tests.conformance.sections import SECTIONS, STATEMENT, with_section


def main() -> None:
    """Write every section."""
    text = STATEMENT.read_text(encoding="utf-8")
    for name in SECTIONS:
        text = with_section(text, name)
    STATEMENT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
