"""The provider registry names the large senders, longest prefix first, and reads files strictly."""

import ipaddress
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import ProviderFileError
from detector.networks.providers import ProviderRegistry

ANY = bytes(4)


def shipped() -> ProviderRegistry:
    text = (
        resources.files("detector.networks").joinpath("providers.toml").read_text(encoding="utf-8")
    )
    return ProviderRegistry.parse(text, "providers.toml")


@pytest.mark.parametrize(
    ("name", "asns"),
    [
        ("Google", [15169]),
        ("Google Cloud", [396982]),
        ("Microsoft", [8075]),
        ("Amazon", [16509, 14618]),
        ("SendGrid", [11377]),
        ("Mailchimp", [14782]),
        ("OVH", [16276]),
        ("Yahoo", [36646, 26101, 7233, 34010, 36647, 10310]),
        ("Apple", [714]),
        ("Mailgun", [396479, 19994]),
        ("Mailjet", [200069]),
        ("SparkPost", [23528, 202072]),
        ("Brevo", [200484]),
        ("Constant Contact", [40444]),
        ("Salesforce", [14340, 22606]),
        ("Meta", [32934]),
        ("LinkedIn", [14413, 40793]),
        ("Proofpoint", [13916, 26211, 52129, 22843]),
        ("Mimecast", [30031, 42427]),
        ("Zoho", [2639, 41913]),
        ("Yandex", [13238]),
        ("VK", [47764]),
        ("IONOS", [8560]),
        ("Hetzner", [24940]),
    ],
)
def test_the_shipped_file_names_the_large_senders(name: str, asns: list[int]) -> None:
    registry = shipped()
    assert {registry.provider_of(asn, ANY) for asn in asns} == {name}


def test_an_unknown_network_has_no_provider() -> None:
    assert shipped().provider_of(64496, ANY) == ""
    assert shipped().provider_of(-1, ANY) == ""


def test_a_prefix_wins_over_the_as_number_and_the_longest_over_shorter_ones() -> None:
    registry = ProviderRegistry.parse(
        """
        [[provider]]
        name = "Wide"
        asns = [64496]
        prefixes = ["192.0.0.0/16", "2001:db8::/32"]
        [[provider]]
        name = "Narrow"
        prefixes = ["192.0.2.0/24", "2001:db8:0:7::/64"]
        """,
        "t.toml",
    )
    v6 = ipaddress.ip_address("2001:db8:0:7::1").packed[:8]
    assert registry.provider_of(64496, bytes([192, 0, 2, 7])) == "Narrow"
    assert registry.provider_of(64511, bytes([192, 0, 3, 7])) == "Wide"
    assert registry.provider_of(64511, v6) == "Narrow"
    assert registry.provider_of(64511, v6[:7] + b"\x08") == "Wide"
    assert registry.provider_of(64496, bytes([10, 0, 0, 1])) == "Wide"
    assert registry.provider_of(64511, bytes([10, 0, 0, 1])) == ""


def test_all_errors_are_told_at_once_with_line_nearest_key_and_what_is_allowed() -> None:
    text = """[[provider]]
name = "One"
asn = [64496]

[[provider]]
name = "Two"
asns = [0, "64496", true, 64497]
prefixes = ["192.0.2.1/24", "2001:db8::/65", 7]

[[provider]]
name = "Three\\u202e"

[[provider]]
name = "Four"
asns = [64497]

[[provider]]
name = "Two"
asns = 64498
"""
    with pytest.raises(ProviderFileError) as caught:
        ProviderRegistry.parse(text, "mine.toml")
    prefix = 'a prefix without host bits, as "192.0.2.0/24" or "2001:db8::/32" (at most /64)'
    shared = "an AS number of one provider"
    number = "a whole number from 1 to 4294967295"
    assert str(caught.value).split("\n") == [
        "mine.toml:1 provider.asn: unknown key, did you mean asns?",
        "mine.toml:1 One: got no asns and no prefixes, must be at least one of them",
        f"mine.toml:5 Two.asns[0]: got 0, must be {number}",
        f"mine.toml:5 Two.asns[1]: got 64496, must be {number}",
        f"mine.toml:5 Two.asns[2]: got True, must be {number}",
        f"mine.toml:5 Two.prefixes[0]: got 192.0.2.1/24, must be {prefix}",
        f"mine.toml:5 Two.prefixes[1]: got 2001:db8::/65, must be {prefix}",
        f"mine.toml:5 Two.prefixes[2]: got 7, must be {prefix}",
        "mine.toml:10 provider.name: got Three\\u202e, must be 1 to 60 printable characters",
        f"mine.toml:13 Four.asns[0]: got 64497, must be {shared}, it stands with Two",
        "mine.toml:17 provider.name: got Two, must be each name once: join the two entries",
        "mine.toml:17 Two.asns: got 64498, must be a list",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[provider]\nname", r"mine\.toml:1 not TOML: "),
        ("a = 1\nb = ", r"mine\.toml:2 not TOML: "),
        ("a = " + "9" * 5000, r"mine\.toml:1 not TOML: "),
        ("a = " + "[" * 100_000, r"mine\.toml:1 not TOML: "),
        ("[provider]\nname = 'x'", r"mine\.toml:1 provider: got one value, must be a list"),
        ("[[providers]]\nname = 'x'", r"unknown key, did you mean provider\?"),
        ("[[provider]]\nasns = [64496]", r"provider\.name: got nothing, must be 1 to 60"),
    ],
)
def test_a_file_of_another_shape_is_refused_in_words(text: str, message: str) -> None:
    with pytest.raises(ProviderFileError, match=message):
        ProviderRegistry.parse(text, "mine.toml")


networks = st.builds(
    lambda bits, length: ipaddress.IPv4Network((bits, length), strict=False),
    st.integers(0, 2**32 - 1),
    st.integers(0, 32),
)


@given(st.lists(networks, unique=True, max_size=8), st.integers(0, 2**32 - 1))
def test_prefixes_answer_as_the_slow_longest_match(
    prefixes: list[ipaddress.IPv4Network], other: int
) -> None:
    text = "".join(
        f'[[provider]]\nname = "P{at}"\nprefixes = ["{network}"]\n'
        for at, network in enumerate(prefixes)
    )
    registry = ProviderRegistry.parse(text, "drawn.toml")
    addresses = [ipaddress.IPv4Address(other), *(network[-1] for network in prefixes)]
    for address in addresses:
        holding = [(net.prefixlen, at) for at, net in enumerate(prefixes) if address in net]
        expected = f"P{max(holding)[1]}" if holding else ""
        assert registry.provider_of(-1, address.packed) == expected
