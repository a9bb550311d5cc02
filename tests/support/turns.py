"""Turns that do not wait."""

from __future__ import annotations

from turns.intervals import TurnIntervals

FAST = TurnIntervals(save=0.005, follow=0.005, follow_silent=0.01, cancel_poll=0.005)
