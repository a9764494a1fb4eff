"""The large senders of the simulated internet, with their real AS numbers."""

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["PROVIDERS", "Kind", "ProviderSeed"]

Kind = Literal["mailbox", "esp", "rentable", "gateway"]


@dataclass(frozen=True, slots=True)
class ProviderSeed:
    """A provider to place in the world: its AS numbers and how much of its kind's mail it has."""

    name: str
    kind: Kind
    asns: tuple[int, ...]
    weight: float
    has_v6: bool = False


PROVIDERS: Final = (
    ProviderSeed("google", "mailbox", (15169,), 30, has_v6=True),
    ProviderSeed("microsoft", "mailbox", (8075,), 30, has_v6=True),
    ProviderSeed("yahoo", "mailbox", (36646, 26101, 34010), 7),
    ProviderSeed("apple", "mailbox", (714,), 6),
    ProviderSeed("ionos", "mailbox", (8560,), 6, has_v6=True),
    ProviderSeed("zoho", "mailbox", (2639, 41913), 3),
    ProviderSeed("yandex", "mailbox", (13238,), 2, has_v6=True),
    ProviderSeed("vk", "mailbox", (47764,), 2),
    ProviderSeed("amazon-ses", "esp", (16509, 14618), 22),
    ProviderSeed("sendgrid", "esp", (11377,), 18),
    ProviderSeed("mailchimp", "esp", (14782,), 14),
    ProviderSeed("mailgun", "esp", (396479, 19994), 8),
    ProviderSeed("mailjet", "esp", (200069,), 5),
    ProviderSeed("sparkpost", "esp", (23528, 202072), 5),
    ProviderSeed("brevo", "esp", (200484,), 7),
    ProviderSeed("constant-contact", "esp", (40444,), 4),
    ProviderSeed("salesforce", "esp", (14340, 22606), 6),
    ProviderSeed("meta", "esp", (32934,), 6, has_v6=True),
    ProviderSeed("linkedin", "esp", (14413,), 5, has_v6=True),
    ProviderSeed("proofpoint", "gateway", (13916, 26211, 22843), 5),
    ProviderSeed("mimecast", "gateway", (30031, 42427), 4),
    ProviderSeed("ovh", "rentable", (16276,), 10, has_v6=True),
    ProviderSeed("hetzner", "rentable", (24940,), 9, has_v6=True),
    ProviderSeed("google-cloud", "rentable", (396982,), 3, has_v6=True),
)
