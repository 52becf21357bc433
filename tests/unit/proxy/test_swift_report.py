"""Reports of bulk operations."""

import json
from xml.etree import ElementTree

import pytest

from proxy.swift.report import Report


@pytest.fixture
def report() -> Report:
    """Return a report of one failure."""
    made = Report("delete", {"Number Deleted": 2, "Response Status": "400 Bad Request"})
    made.fail("/c/%3Co%3E", 403)
    return made


def test_a_report_as_json(report: Report) -> None:
    assert json.loads(report.render("application/json")) == {
        "Number Deleted": 2,
        "Response Status": "400 Bad Request",
        "Errors": [["/c/%3Co%3E", "403 Forbidden"]],
    }


def test_a_report_as_text(report: Report) -> None:
    assert report.render("text/plain") == (
        b"Number Deleted: 2\nResponse Status: 400 Bad Request\nErrors:\n/c/%3Co%3E, 403 Forbidden\n"
    )


def test_a_report_as_xml(report: Report) -> None:
    document = ElementTree.fromstring(report.render("text/xml"))
    assert document.tag == "delete"
    assert document.findtext("number_deleted") == "2"
    assert document.findtext("errors/object/status") == "403 Forbidden"
