"""What all measurements share: the questions, by the number of tools that they make the model call, and a line for a figure."""

CONTENTS = {0: "Say something", 2: "Tide and a tip, please [2 tools]"}


def report(name: str, value: float, unit: str, target: str, note: str = "") -> None:
    """Print a figure."""
    print(f"{name:<52} {value:>9.2f} {unit:<8} {target:<12} {note}", flush=True)
