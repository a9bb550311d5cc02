"""What the hooks say of a deployment before it begins."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DeploymentProblem:
    """Something that would make the deployment fail, and the command that fixes it."""

    text: str
    command: str
