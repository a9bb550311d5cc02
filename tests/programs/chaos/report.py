"""The result of a run as a table."""

from __future__ import annotations

from collections import Counter

from tests.programs.chaos.journal import Journal, Kind
from tests.programs.chaos.plan import Plan

KINDS: tuple[Kind, ...] = ("lost", "doubled", "stuck", "mixed up", "wrong", "error")


def table(plan: Plan, journal: Journal, seconds: float) -> str:
    """Return what was done, what was injected, and what was found."""
    asks = [ask for conversation in journal.conversations for ask in conversation.asks]
    turns = len({turn for ask in asks for turn in ask.turns} | {a["turn_id"] for ask in asks for a in ask.answers.values()})
    found = Counter(kind for kind, _ in journal.findings)
    rows = [
        ("store, seed", f"{plan.store}, {plan.seed}"),
        ("seconds", f"{seconds:.0f}"),
        ("threads", str(len(journal.conversations))),
        ("messages", str(len(asks))),
        ("turns seen by clients", f"{turns} ({turns / seconds:.1f} a second)"),
        ("answered", str(sum(bool(ask.answers) for ask in asks))),
        ("refused by the model's filter", str(sum(bool(ask.refused) for ask in asks))),
        ("longest way to an answer", f"{journal.longest_wait:.1f} s"),
        ("faults injected", str(plan.injected.total())),
        *((f"  {kind}", str(count)) for kind, count in sorted(plan.injected.items())),
        ("answers other than success", str(journal.answers.total())),
        *((f"  {kind}", str(count)) for kind, count in sorted(journal.answers.items())),
        *((f"  {kind}", str(count)) for kind, count in sorted(journal.mischief.items())),
        *((kind, str(found[kind])) for kind in KINDS),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)
