"""Writes test results for programs: as JSON values, and as JUnit's XML."""

import re
from collections.abc import Iterable, Mapping, Sequence
from xml.etree import ElementTree as ET  # written only: nothing foreign is parsed

from policy_server.authoring.testing import counted
from policy_server.authoring.verdict import BAD, Status, Trial, Verdict
from policy_server.model.values import Json, JsonObject

PLACES = ("interpreter", "wasm")

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_json(trials: Sequence[Trial], coverage: JsonObject | None, problems: Sequence[str]) -> JsonObject:
    """Return everything that is known: tests, counts, coverage where it was asked for, and what did not compile."""
    document: dict[str, Json] = {"summary": counted(trials), "tests": [_test(each) for each in trials]}
    if coverage is not None:
        document["coverage"] = coverage
    if problems:
        document["problems"] = list(problems)
    return document


def _test(trial: Trial) -> JsonObject:
    return {
        "package": trial.package,
        "name": trial.name,
        "file": trial.file,
        "row": trial.row,
        "interpreter": _verdict(trial.interpreter),
        "wasm": _verdict(trial.wasm),
        "agree": trial.agrees,
        "cases": [{"name": each.name, "interpreter": each.interpreter, "wasm": each.wasm} for each in trial.cases],
    }


def _verdict(verdict: Verdict) -> JsonObject:
    return {
        "status": verdict.status,
        "duration_ns": verdict.duration_ns,
        "output": list(verdict.output),
        "reason": verdict.reason,
    }


def as_junit(trials: Sequence[Trial], problems: Sequence[str]) -> str:
    """Return one suite for each file and place; what did not compile is a suite of errors."""
    root = ET.Element("testsuites", name="policy-server test")
    for place in PLACES:
        by_file: dict[str, list[Trial]] = {}
        for trial in trials:
            by_file.setdefault(trial.file, []).append(trial)
        for file, found in by_file.items():
            _suite(root, f"{file} ({place})", [(each, getattr(each, place)) for each in found])
    if problems:
        broken = ET.SubElement(root, "testsuite", name="compile", tests=str(len(problems)), errors=str(len(problems)))
        for problem in problems:
            case = ET.SubElement(broken, "testcase", classname="compile", name=_text(problem))
            ET.SubElement(case, "error", message=_text(problem))
    _total(root)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True)


def _suite(root: ET.Element, name: str, found: Sequence[tuple[Trial, Verdict]]) -> None:
    counts = {
        "tests": len(found),
        "failures": sum(verdict.status is Status.FAIL for _, verdict in found),
        "errors": sum(verdict.status is Status.ERROR for _, verdict in found),
        "skipped": sum(verdict.status in {Status.SKIP, Status.UNAVAILABLE} for _, verdict in found),
    }
    suite = ET.SubElement(root, "testsuite", _texts(counts), name=_text(name))
    for trial, verdict in found:
        case = ET.SubElement(
            suite,
            "testcase",
            classname=_text(trial.package),
            name=_text(trial.name),
            file=_text(trial.file),
            line=str(trial.row),
            time=f"{verdict.duration_ns / 1e9:.6f}",
        )
        _outcome(case, trial, verdict)


def _outcome(case: ET.Element, trial: Trial, verdict: Verdict) -> None:
    if verdict.status in BAD:
        kind = "failure" if verdict.status is Status.FAIL else "error"
        failed = ", ".join(
            each.name for each in trial.cases if Status.FAIL in {each.interpreter, each.wasm}
        )  # fmt: skip
        ET.SubElement(case, kind, message=_text(verdict.reason or (f"cases: {failed}" if failed else "not true")))
    elif verdict.status is not Status.PASS:
        ET.SubElement(case, "skipped", message=_text(verdict.reason or "todo"))
    if verdict.output:
        ET.SubElement(case, "system-out").text = _text("\n".join(verdict.output))


def _total(root: ET.Element) -> None:
    for name in ("tests", "failures", "errors", "skipped"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))


def _texts(counts: Mapping[str, int]) -> dict[str, str]:
    return {name: str(count) for name, count in counts.items()}


def _text(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)


def shown_time(duration_ns: Iterable[int]) -> str:
    """Write durations for people, with a slash between them."""
    return " / ".join(_short(each) for each in duration_ns)


def _short(duration_ns: int) -> str:
    if duration_ns < 1_000_000:
        return f"{duration_ns / 1e3:.0f} µs"
    return f"{duration_ns / 1e6:.1f} ms" if duration_ns < 1_000_000_000 else f"{duration_ns / 1e9:.2f} s"
