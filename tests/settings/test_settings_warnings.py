"""A webhook that points at the metadata service of a cloud machine is warned of in any spelling."""

import pytest

from pipelines.settings.model import LiveSettings, WebhookSettings
from pipelines.settings.warnings import settings_warnings


def warned(host: str) -> list[str]:
    url = f"http://{host}/latest/meta-data"
    return settings_warnings(LiveSettings(webhook=WebhookSettings(url=url)))


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.169.254.",
        "169.254.170.2:80",
        "user@169.254.169.254",
        "2852039166",
        "0xA9FEA9FE",
        "0xa9.0xfe.0xa9.0xfe",
        "0251.0376.0251.0376",
        "169.254.43518",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[::a9fe:a9fe]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:a9fe:a9fe::]",
        "[fd00:ec2::254]",
        "[fe80::a9fe:a9fe]",
        "100.100.100.200",
        "metadata",
        "Metadata.Google.Internal.",
        "instance-data.ec2.internal",
        "\N{FULLWIDTH DIGIT ONE}69.254.169.254",
        "169\N{IDEOGRAPHIC FULL STOP}254.169.254",
    ],
)
def test_every_spelling_of_a_metadata_service_is_warned_of(host: str) -> None:
    (said,) = warned(host)
    assert said.startswith("webhook.url: ")
    assert said.endswith("name the receiver of the alerts")


@pytest.mark.parametrize(
    "host",
    ["alerts.example", "192.0.2.7", "[2001:db8::1]", "metadata.example", "10.0.0.5", "localhost"],
)
def test_other_receivers_are_not(host: str) -> None:
    assert warned(host) == []
