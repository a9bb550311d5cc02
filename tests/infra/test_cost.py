"""The costs, against sums done by hand, and the tables of docs/deployment.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.cost import Prices, Usage, at_rest, main, per_thousand_turns

PROD = (
    "--private-endpoints 4 --dns-zones 4 --log-alerts 11 --metric-alerts 1 --probes 26280 --backup-gigabytes 10 "
    "--always-ready-instances 1"
)
DOCUMENT = Path(__file__).parents[2] / "docs/deployment.md"


def test_a_thousand_turns() -> None:
    usage = Usage(request_units=40, event_units=10, input_tokens=2000, cached_tokens=1000, output_tokens=500, turn_seconds=10)
    prices = Prices(million_request_units=0.2, million_input_tokens=1, million_cached_tokens=0.1, million_output_tokens=4)
    costs = per_thousand_turns(usage, prices)
    assert costs["model, input"] == pytest.approx(1.1)  # a million at 1, a million at 0.1
    assert costs["model, output"] == pytest.approx(2.0)  # half a million at 4
    assert costs["Cosmos DB requests"] == pytest.approx(0.01)  # 50,000 RU at 0.2 a million
    assert costs["Functions"] == pytest.approx(2500 * 2 * 0.000026 + 0.0004)  # 2,500 s of 2 GB; 1,000 executions


def test_autoscale_is_paid_by_the_hour_and_not_by_request() -> None:
    usage, prices = Usage(autoscale_units=1000), Prices(autoscale_100_units_hour=0.012)
    assert per_thousand_turns(usage, prices)["Cosmos DB requests"] == 0
    assert at_rest(usage, prices)["Cosmos DB throughput"] == pytest.approx(8.76)


def test_a_serverless_service_without_extras_costs_nothing_at_rest() -> None:
    assert sum(at_rest(Usage(), Prices()).values()) == 0
    extras = at_rest(
        Usage(
            always_ready_instances=1,
            private_endpoints=6,
            dns_zones=6,
            log_alerts=11,
            metric_alerts=1,
            probes=26_280,
            backup_gigabytes=10,
        ),
        Prices(redis_hour=0.1),
    )
    assert extras["private endpoints"] == pytest.approx(43.8)
    assert extras["private DNS zones"] == pytest.approx(3.0)
    assert extras["alert rules"] == pytest.approx(16.6)
    assert extras["probes of readiness"] == pytest.approx(15.768)
    assert extras["backup for 30 days"] == pytest.approx(2.0)
    assert extras["Redis"] == pytest.approx(73)
    assert extras["always-ready instances"] == pytest.approx(2 * 730 * 3600 * 0.000004)


@pytest.mark.parametrize("arguments", ["", PROD])
def test_the_documentation_shows_what_the_program_prints(capsys: pytest.CaptureFixture[str], arguments: str) -> None:
    main(arguments.split())
    command = f"$ python -m infra.cost {arguments}".rstrip()
    assert f"{command}\n{capsys.readouterr().out}" in DOCUMENT.read_text()
