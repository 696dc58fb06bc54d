"""Verdicts as JUnit XML, the form that every continuous-integration server reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as xml

from harness.files import write_output
from harness.gate.decide import GateVerdict
from harness.gate.report import Questions, headline, text_report
from harness.plain import UNSEEN

# XML 1.0 has no way to write any other character, not even escaped.
_UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(verdicts: Sequence[GateVerdict], show: int, questions: Questions, error: str = "") -> str:
    """One test case for each suite and metric: regress is a failure, inconclusive is skipped.

    `error` (why there is no verdict) makes one test case with an error.
    """
    cases = [_case(verdict, show, questions) for verdict in verdicts]
    if error:
        case = xml.Element("testcase", classname="harness.gate", name="gate", time="0")
        xml.SubElement(case, "error", message=_text(error))
        cases.append(case)
    counts = {kind: str(sum(case.find(tag) is not None for case in cases)) for kind, tag in _TAGS.items()}
    root = xml.Element("testsuites")
    head = {"name": "harness gate", "tests": str(len(cases)), "time": "0", **counts}
    suite = xml.SubElement(root, "testsuite", head)
    suite.extend(cases)
    xml.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + xml.tostring(root, encoding="unicode") + "\n"


_TAGS = {"failures": "failure", "skipped": "skipped", "errors": "error"}


def _case(verdict: GateVerdict, show: int, questions: Questions) -> xml.Element:
    name = f"{verdict.candidate.metric} {verdict.rule.test}"
    case = xml.Element(
        "testcase", classname=f"harness.gate.{_text(verdict.candidate.suite)}", name=_text(name), time="0"
    )
    report = _text(text_report([verdict], show, questions))
    tag = {"regress": "failure", "inconclusive": "skipped"}.get(verdict.outcome)
    if tag is not None:
        xml.SubElement(case, tag, message=_text(headline(verdict))).text = report
    else:
        xml.SubElement(case, "system-out").text = report
    return case


def _text(text: str) -> str:
    return _UNWRITABLE.sub("\ufffd", UNSEEN.sub("", text))


def write_junit(path: Path, text: str) -> None:
    """Write the file, and the folder it is in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_output(path, text)
