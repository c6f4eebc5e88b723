"""What an attestation states about weights: an in-toto Statement (v1) in JSON.

Its predicate is SLSA provenance (v1) if a training gave the same bits, since it then says how to make them.
Otherwise, it is a test result (v0.1). Fields of neither format begin with `zoo_`, as SLSA recommends.

https://github.com/in-toto/attestation/tree/main/spec, https://slsa.dev/spec/v1.0/provenance
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from zoo.files.canonical import parse_json, readable_json

Command = Literal["reproduce", "verify"]
_STATEMENT = "https://in-toto.io/Statement/v1"
_PROVENANCE = "https://slsa.dev/provenance/v1"
_TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
# What made the bytes of a provenance: `zoo reproduce`
_BUILD = "urn:zoo:reproduce:v1"
_TIME = "%Y-%m-%dT%H:%M:%SZ"


class Confirmation(NamedTuple):
    """The content of a statement, for people.

    Attributes:
        subject: sha256 of the file that it is about.
        outcome: what was found, in words.
        date: day on which the work ended.
        conditions: versions and processor, in words.
    """

    subject: str
    outcome: str
    date: str
    conditions: str


def statement(
    name: str,
    sha256: str,
    *,
    command: Command,
    tests: Mapping[str, bool] | None,
    recipe: Mapping[str, Any],
    inputs: Mapping[str, str],
    environment: Mapping[str, Any],
) -> bytes:
    """Return a statement about a file.

    Args:
        tests: whether each metric agrees, by name; None if a training gave the same bits.
        inputs: sha256 of the data, and of weights that training started from, by name.
        environment: `{versions, processor, device, threads}`.
    """
    used = [{"name": name, "digest": {"sha256": value}} for name, value in inputs.items() if value]
    finished = f"{datetime.now(UTC):{_TIME}}"
    if tests is None:
        build = {"buildType": _BUILD, "externalParameters": {"recipe": recipe}}
        build |= {"internalParameters": environment, "resolvedDependencies": used}
        builder = {"id": _BUILD, "version": environment["versions"]}
        details = {"builder": builder, "metadata": {"finishedOn": finished}}
        kind, predicate = _PROVENANCE, {"buildDefinition": build, "runDetails": details}
    else:
        failed = [metric for metric, ok in tests.items() if not ok]
        predicate = {"result": "FAILED" if failed else "PASSED", "configuration": used}
        predicate |= {"passedTests": [metric for metric, ok in tests.items() if ok], "failedTests": failed}
        predicate |= {"zoo_command": command, "zoo_recipe": recipe, "zoo_environment": environment}
        kind, predicate = _TEST_RESULT, predicate | {"zoo_finishedOn": finished}
    subject = [{"name": name, "digest": {"sha256": sha256}}]
    whole = {"_type": _STATEMENT, "subject": subject, "predicateType": kind, "predicate": predicate}
    return f"{readable_json(whole)}\n".encode()


def read_statement(content: bytes) -> Confirmation:
    """Return the content of a statement. Raises ValueError if zoo would not have written it."""
    found = parse_json(content.decode())
    match found:
        case {"_type": type_, "subject": [{"digest": {"sha256": str(subject)}}], "predicateType": kind}:
            pass
        case _:
            raise ValueError("it is not an in-toto statement about one file")
    match found.get("predicate"):
        case {
            "buildDefinition": {"buildType": build, "internalParameters": environment},
            "runDetails": {"metadata": {"finishedOn": str(finished)}},
        } if (type_, kind, build) == (_STATEMENT, _PROVENANCE, _BUILD):
            outcome = "trained again: all tensors are bit-equal"
        case {
            "result": "PASSED" | "FAILED" as result,
            "passedTests": [*passed],
            "failedTests": [*failed],
            "zoo_command": "reproduce" | "verify" as command,
            "zoo_environment": environment,
            "zoo_finishedOn": str(finished),
        } if (type_, kind) == (_STATEMENT, _TEST_RESULT) and (passed or failed):
            if (result == "FAILED") != bool(failed):
                raise ValueError("its result does not follow from its tests")
            names = [name for name in (*passed, *failed) if isinstance(name, str)]
            if len({*names}) < len(passed) + len(failed):
                raise ValueError("its tests have no names, or a name twice")
            did = "measured again" if command == "verify" else "trained again: other bits"
            outcome = f"{did}, {len(passed)} of {len(passed) + len(failed)} metrics agree"
        case _:
            raise ValueError("its predicate is neither SLSA provenance nor a test result by zoo")
    if not _is_time(finished):
        raise ValueError("it does not state when the work was done")
    match environment:
        case {"versions": {**versions}, "processor": str(processor), "device": str(device)}:
            words = [*(f"{name} {version}" for name, version in versions.items()), processor, device]
            return Confirmation(subject, outcome, finished[:10], ", ".join(filter(None, words)))
        case _:
            raise ValueError("it does not state where the work was done")


def _is_time(text: str) -> bool:
    try:
        return f"{datetime.strptime(text, _TIME):{_TIME}}" == text
    except ValueError:
        return False
