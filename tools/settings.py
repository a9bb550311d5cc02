"""The settings of one tool: a class of them in the tool's file, read from the environment like those of the core."""

from __future__ import annotations

from pydantic_settings import BaseSettings, SettingsConfigDict


class ToolSettings(BaseSettings):
    """Base of a tool's settings: every field is the variable of the same name in capitals; an empty one is as if not set."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)
