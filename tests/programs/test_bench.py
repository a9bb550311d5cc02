"""The measuring programs' own sense: what they call a failure, and what they tell of a program that does not start."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.programs.bench import processes, soak, starts, telemetry
from tests.programs.bench.extent import FULL, SHORT


@pytest.mark.parametrize(
    ("memory", "broken", "told"),
    [
        ((100, 110, 150), 0, []),
        ((100, 112.5, 150), 0, ["cosmos: memory has grown by 12.5 MB in the load, over the limit of 10 MB"]),
        (
            (100, 90, 131),
            2,
            ["cosmos: memory has grown by 41.0 MB in the streams, over the limit of 40 MB", "cosmos: 2 streams "],
        ),
    ],
)
def test_a_soak_that_fails_names_the_store_and_the_limit(
    memory: tuple[float, float, float], broken: int, told: list[str]
) -> None:
    failed = soak.judge(soak.Outcome("cosmos", memory, broken))
    assert [line[: len(start)] for line, start in zip(failed, told, strict=True)] == told


def test_an_error_of_the_server_is_a_failure_with_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(store: str, plan: soak.Plan) -> soak.Outcome:
        raise RuntimeError("503 {'type': 'busy'}")

    monkeypatch.setattr(soak, "soak", fail)
    assert soak.failures("sqlite", soak.SHORT) == ["sqlite: RuntimeError: 503 {'type': 'busy'}"]


async def test_a_program_that_ends_before_it_listens_says_why() -> None:
    words = "import sys; sys.exit('no such setting')"
    with pytest.raises(RuntimeError, match="ended with 1\nno such setting"):
        async with processes.program(sys.executable, "-c", words, port=processes.free_port(), logs=False):
            pass


async def test_what_telemetry_adds_to_the_imports_can_be_measured() -> None:
    assert 0 < await telemetry.import_seconds(1) < 30


def test_the_short_form_leaves_no_part_out() -> None:
    assert [FULL.of(count) for count in (1, 3, 5000)] == [1, 3, 5000]
    assert [SHORT.of(count) for count in (1, 3, 5000)] == [1, 1, 100]
    assert SHORT.of(20, least=3) == 3


def test_what_is_measured_is_compiled_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in ("main.py", "api/app.py", "web/page.js"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("1")
    monkeypatch.setattr(processes, "ROOT", tmp_path)
    starts.compile_bytecode()
    assert sorted(path.parent.parent.name for path in tmp_path.rglob("*.pyc")) == sorted([tmp_path.name, "api"])
