"""The settings: the only reader of environment variables.

Every field is the variable of the same name in capitals. Wrong or unsafe values are refused at start-up with a message that
names the variable.
"""

from settings.settings import ModelKind, Settings, SettingsError, load_settings
from settings.values import ApiKey, is_loopback, without_credentials

__all__ = ["ApiKey", "ModelKind", "Settings", "SettingsError", "is_loopback", "load_settings", "without_credentials"]
