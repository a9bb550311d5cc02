"""``python -m tests.programs.chaos --seed N --seconds S --store sqlite|cosmos``: things go wrong, nothing may be lost."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import time

from tests.programs.chaos.plan import Plan, StoreKind
from tests.programs.chaos.report import table
from tests.programs.chaos.run import run, scratch

SHOWN = 600
STORES: tuple[StoreKind, ...] = ("sqlite", "cosmos")


def main() -> int:
    """Run on each store that was asked for; return 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.programs.chaos")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="repeats the chances of a run; default: a new one")
    parser.add_argument("--seconds", type=float, default=900, help="how long things go wrong on each store")
    parser.add_argument("--store", choices=STORES, action="append", help="default: both")
    parser.add_argument("--clients", type=int, default=12)
    given = parser.parse_args()
    return max([_run(Plan(given.seed, given.seconds, store, given.clients)) for store in given.store or STORES])


def _run(plan: Plan) -> int:
    print(f"chaos on {plan.store} for {plan.seconds:g} s, seed {plan.seed}", flush=True)
    folder = scratch()
    journal, seconds = asyncio.run(run(plan, folder))
    print(table(plan, journal, seconds), flush=True)
    if journal.findings:
        findings = [f"{kind}: {what}" for kind, what in journal.findings]
        (folder / "findings.txt").write_text("\n".join(findings))
        print(*(found[:SHOWN] for found in findings[:5]), f"FAILED: see {folder}", sep="\n", flush=True)
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
