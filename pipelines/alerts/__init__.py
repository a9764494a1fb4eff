"""Alerts: a signed webhook when addresses of a large provider get listed, or a listing is held."""

from pipelines.alerts.settings_check import AlertSettingsError
from pipelines.alerts.signing import sign, verify
from pipelines.alerts.webhook import WebhookAlerts

__all__ = ["AlertSettingsError", "WebhookAlerts", "sign", "verify"]
