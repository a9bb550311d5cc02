"""The settings, and what makes the assistant yours: the only reader of environment variables.

Every field of :class:`Settings` is the variable of the same name in capitals. Wrong or unsafe values are refused at start-up
with a message that names the variable.
"""

from settings.assistant import Assistant, AssistantError, load_assistant
from settings.settings import ModelKind, Settings, SettingsError, load_settings
from settings.values import ApiKey, is_loopback, without_credentials

__all__ = [
    "ApiKey",
    "Assistant",
    "AssistantError",
    "ModelKind",
    "Settings",
    "SettingsError",
    "is_loopback",
    "load_assistant",
    "load_settings",
    "without_credentials",
]
