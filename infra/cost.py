"""What the service costs: at rest by the month, and per 1,000 turns.

``python -m infra.cost`` uses the figures below; give your own, and prices in any currency: they differ by region and change.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields

HOURS_A_MONTH = 730
SECONDS_A_MONTH = HOURS_A_MONTH * 3600


@dataclass(frozen=True)
class Usage:
    """What a turn takes, and what stands there without any."""

    request_units: float = 41.0  # RU of a turn in a busy thread, its row in the list included; 51 after a pause of five seconds
    event_units: float = 7.0  # RU of the events of a streamed turn
    input_tokens: float = 1500.0  # with instructions, tools and history, all model calls of the turn together
    cached_tokens: float = 0.0  # of the input tokens
    output_tokens: float = 300.0
    turn_seconds: float = 6.0  # how long a turn is open
    turns_at_once: float = 4.0  # that share an instance while it is up
    kilobytes: float = 6.0  # stored by a turn and never deleted
    log_kilobytes: float = 12.0  # of telemetry
    instance_gigabytes: float = 2.0
    always_ready_instances: float = 0.0
    private_endpoints: float = 0.0  # 4 with the private network, 2 more with the bot, 1 with Redis
    dns_zones: float = 0.0  # one for each of them; 2 more with an account that is not ours
    log_alerts: float = 0.0  # 11 with ALERT_EMAIL, looked at every five minutes
    metric_alerts: float = 0.0  # 1 with ALERT_EMAIL
    probes: float = 0.0  # of GET /api/ready in a month; 26,280 with ALERT_EMAIL: every five minutes from three places
    backup_gigabytes: float = 0.0  # kept for 30 days; the 7 days of dev cost nothing
    autoscale_units: float = 0.0  # RU/s at most; 0: serverless


@dataclass(frozen=True)
class Prices:
    """In one currency. The defaults are round figures of US regions, in dollars."""

    million_request_units: float = 0.25
    autoscale_100_units_hour: float = 0.012
    gigabyte_month: float = 0.25
    million_input_tokens: float = 0.75
    million_cached_tokens: float = 0.075
    million_output_tokens: float = 4.5
    gigabyte_second: float = 0.000026
    million_executions: float = 0.40
    ready_gigabyte_second: float = 0.000004
    private_endpoint_hour: float = 0.01
    dns_zone_month: float = 0.5
    log_alert_month: float = 1.5
    metric_alert_month: float = 0.1
    thousand_probes: float = 0.6
    backup_gigabyte_month: float = 0.2
    log_gigabyte: float = 2.3
    redis_hour: float = 0.0  # of the chosen size, if there is one


def per_thousand_turns(usage: Usage, prices: Prices) -> dict[str, float]:
    """Return what 1,000 turns cost, by what is paid for."""
    units = 0.0 if usage.autoscale_units else usage.request_units + usage.event_units
    fresh = usage.input_tokens - usage.cached_tokens
    return {
        "model, input": (fresh * prices.million_input_tokens + usage.cached_tokens * prices.million_cached_tokens) / 1e3,
        "model, output": usage.output_tokens * prices.million_output_tokens / 1e3,
        "Cosmos DB requests": units * prices.million_request_units / 1e3,
        "Functions": 1e3 * usage.turn_seconds / usage.turns_at_once * usage.instance_gigabytes * prices.gigabyte_second
        + prices.million_executions / 1e3,
        "telemetry": 1e3 * usage.log_kilobytes / 1e6 * prices.log_gigabyte,
        "storage, each month they are kept": 1e3 * usage.kilobytes / 1e6 * prices.gigabyte_month,
    }


def at_rest(usage: Usage, prices: Prices) -> dict[str, float]:
    """Return what a month without any turn costs, by what is paid for."""
    # Autoscale never falls below a tenth of its maximum.
    least = usage.autoscale_units / 10
    ready = usage.always_ready_instances * usage.instance_gigabytes * SECONDS_A_MONTH
    return {
        "Cosmos DB throughput": least / 100 * prices.autoscale_100_units_hour * HOURS_A_MONTH,
        "always-ready instances": ready * prices.ready_gigabyte_second,
        "private endpoints": usage.private_endpoints * prices.private_endpoint_hour * HOURS_A_MONTH,
        "private DNS zones": usage.dns_zones * prices.dns_zone_month,
        "alert rules": usage.log_alerts * prices.log_alert_month + usage.metric_alerts * prices.metric_alert_month,
        "probes of readiness": usage.probes / 1e3 * prices.thousand_probes,
        "backup for 30 days": usage.backup_gigabytes * prices.backup_gigabyte_month,
        "Redis": prices.redis_hour * HOURS_A_MONTH,
    }


def table(title: str, items: dict[str, float]) -> str:
    """Return a sum as text, its parts above it."""
    lines = [f"  {name:<36}{cost:>9.2f}" for name, cost in items.items()]
    return "\n".join([title, *lines, f"  {'together':<36}{sum(items.values()):>9.2f}"])


def main(arguments: list[str] | None = None) -> None:
    """Print both sums; every quantity and price is an option of its own."""
    parser = argparse.ArgumentParser(
        description="Costs at rest and per 1,000 turns.", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    for part in (Usage, Prices):
        for field in fields(part):
            parser.add_argument(
                f"--{field.name.replace('_', '-')}", type=float, default=field.default, help=part.__name__.lower()
            )
    given = vars(parser.parse_args(arguments))
    usage = Usage(**{field.name: given[field.name] for field in fields(Usage)})
    prices = Prices(**{field.name: given[field.name] for field in fields(Prices)})
    print(table("A month without turns", at_rest(usage, prices)))
    print(table("1,000 turns", per_thousand_turns(usage, prices)))


if __name__ == "__main__":
    main()
