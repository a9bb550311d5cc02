"""The tool of another company: a bank's accounts."""

from __future__ import annotations

import re
from typing import Annotated, TypedDict

from pydantic import Field

from tools.tool import Offline, ResultView, tool


class Balance(TypedDict):
    account: str
    amount: str


@tool(
    title={"de": "Kontostand", "en": "Balance"},
    icon="konto",
    subject="{account}",
    result=ResultView(kind="figure", headline="{amount}", caption=["{account}"]),
    offline=Offline(
        skill="read balances",
        listen=lambda text, _: [{"account": found} for found in re.findall(r"\bK\d+\b", text)],
        say=lambda _, balance: f"{balance['account']}: {balance['amount']}",
    ),
)
def read_balance(account: Annotated[str, Field(description="An account's number, such as K12")]) -> Balance:
    """Read the balance of an account."""
    return Balance(account=account, amount="1.204,50 €")
