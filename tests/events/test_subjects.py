"""Addresses and mailboxes as keys, against the standard library."""

import ipaddress
from ipaddress import IPv4Address, IPv6Address
from unicodedata import category

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from detector.events.subjects import ip_key, ip_subjects, mailbox_key, mailbox_masked, subject_text

NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")


def oracle(text: str) -> bytes | None:
    """What `ipaddress` makes of a text: the bytes of the subject."""
    if "%" in text:  # a zone names an interface of some host, not an address of the Internet
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address.packed
    carried = carried_ipv4(address)
    return carried.packed if carried is not None else address.packed[:8]


def carried_ipv4(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 host behind an IPv6 address, as the standard library reads it where it does."""
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if address in LOCAL_NAT64:
        return next(
            (
                host
                for bits in (48, 56, 64)
                if translated(host := carried_at(address, bits), bits) == address
            ),
            IPv4Address(int(address) & 0xFFFFFFFF),
        )
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo and teredo[1])


def carried_at(address: IPv6Address, bits: int) -> IPv4Address:
    """The IPv4 address behind a prefix of 48, 56 or 64 bits (RFC 6052, 2.2)."""
    digits = address.packed.hex()
    digits = digits[:16] + digits[18:]
    return IPv4Address(bytes.fromhex(digits[bits // 4 : bits // 4 + 8]))


def translated(host: IPv4Address, bits: int) -> IPv6Address:
    """The address that a translator with a prefix in 64:ff9b:1::/48 gives a host."""
    if bits == 96:
        return IPv6Address(int(LOCAL_NAT64.network_address) + int(host))
    digits = LOCAL_NAT64.network_address.packed.hex()[: bits // 4] + host.packed.hex()
    digits = digits.ljust(30, "0")
    return IPv6Address(bytes.fromhex(digits[:16] + "00" + digits[16:]))


def oracle_text(key: bytes) -> str:
    if len(key) == 4:
        return str(IPv4Address(key))
    return str(ipaddress.IPv6Network((int.from_bytes(key + bytes(8), "big"), 64)))


v4 = st.ip_addresses(v=4).map(str)
v6 = st.ip_addresses(v=6)
sparse_v6 = st.lists(st.sampled_from([0, 0, 0, 1, 0xDB8, 0xFFFF]), min_size=8, max_size=8).map(
    lambda groups: IPv6Address(b"".join(group.to_bytes(2, "big") for group in groups))
)
spelled_v6 = (v6 | sparse_v6).flatmap(
    lambda address: st.sampled_from(
        [str(address), address.exploded, str(address).upper(), address.exploded.upper()]
    )
)
mapped = (
    v4.map("::ffff:{}".format) | v4.map("::FFFF:{}".format) | v4.map("0:0:0:0:0:ffff:{}".format)
)
embedded = st.tuples(
    st.sampled_from(["::", "64:ff9b::", "64:ff9b:1::", "64:FF9B:1:9::", "1:2:3:4:5:6:", "::1:"]), v4
).map("".join)
rubbish = st.text(alphabet="0123456789abcdefABCDEFgx.:/%+-_ \t１٣", max_size=45) | st.text(
    max_size=20
)
tunnelled = v6.flatmap(
    lambda address: st.sampled_from([b"\x20\x02", b"\x20\x01\0\0", b"\0\x64\xff\x9b\0\1"]).map(
        lambda prefix: str(IPv6Address(prefix + address.packed[len(prefix) :]))
    )
)
addresses = v4 | spelled_v6 | mapped | embedded | tunnelled


@st.composite
def mutated(draw: st.DrawFn) -> str:
    text = draw(addresses)
    at = draw(st.integers(0, len(text)))
    return text[:at] + draw(st.sampled_from([":", ".", "0", "f", " ", "", "::"])) + text[at + 1 :]


@given(addresses | rubbish | mutated())
@example("")
@example(":::")
@example("1:2:3:4:5:6:7::")
@example("::2:3:4:5:6:7:8")
@example("1:2:3:4:5:6:7:8:9")
@example("1:2:3:4:5:6:7::8")
@example("1.2.3.4::")
@example("::ffff:01.2.3.4")
@example("1 ::")
@example("+1::")
@example("1_1::")
@example("0x1::")
@example("192.0.2.256")
def test_an_address_is_read_as_ipaddress_reads_it(text: str) -> None:
    assert ip_key(text) == oracle(text)


@given(addresses)
def test_a_subject_is_written_as_ipaddress_writes_it(text: str) -> None:
    key = ip_key(text)
    assert key is not None
    assert subject_text(key) == oracle_text(key)


@given(st.lists(addresses | rubbish | mutated(), max_size=12))
def test_many_at_once_read_like_one_by_one(texts: list[str]) -> None:
    want: list[tuple[str, int] | None] = []
    for text in texts:
        key = oracle(text)
        network = text.removesuffix("/64")
        if ":" in text and network != text and oracle(network) is not None:
            own = IPv6Address(network).packed[:8]
            key = own if oracle_text(own) == text else None
        want.append(None if key is None else (oracle_text(key), int.from_bytes(key, "big")))
    assert ip_subjects(texts) == want


@given(addresses)
def test_a_subjects_own_text_stands_for_it(text: str) -> None:
    (read,) = ip_subjects([text])
    assert read is not None
    assert ip_subjects([read[0]]) == [read]


def test_a_mapped_address_is_the_ipv4_address() -> None:
    assert ip_subjects(["::ffff:192.0.2.7", "::FFFF:c000:207"]) == [("192.0.2.7", 0xC0000207)] * 2


@given(st.ip_addresses(v=4), st.sampled_from([48, 56, 64, 96]))
def test_a_translated_address_is_the_ipv4_address(host: IPv4Address, bits: int) -> None:
    """A last byte of 0 is left out: no mail server has it, and it hides the prefix's length."""
    if host.packed[-1]:
        assert ip_key(str(translated(host, bits))) == host.packed


@pytest.mark.parametrize(
    "text",
    [
        "::ffff:192.0.2.7", "64:ff9b::192.0.2.7", "64:ff9b::c000:207", "64:ff9b:1::192.0.2.7",
        "64:ff9b:1:c000:2:700::", "64:ff9b:1:1:c0:2:700:0", "2002:c000:207::1",
        "2002:c000:207:1:2:3:4:5", "2001:0:cb00:7101:0:ef1c:3fff:fdf8", "2001::ef1c:3fff:fdf8",
    ],
)  # fmt: skip
def test_an_address_that_carries_ipv4_is_that_host(text: str) -> None:
    """Innocent hosts would share a /64 with an attacker behind the same translator."""
    assert ip_subjects([text, text.upper()]) == [("192.0.2.7", 0xC0000207)] * 2


def test_a_network_of_carried_addresses_that_older_logs_name_is_still_read() -> None:
    for text in ("64:ff9b::/64", "2002:c000:207::/64", "2001::/64"):
        assert ip_subjects([text]) == [(text, int(IPv6Address(text[:-3])) >> 64)]


def test_a_network_is_no_client_address_unless_it_is_the_subject_itself() -> None:
    assert ip_subjects(["192.0.2.7/64", "192.0.2.7/32", "2001:DB8::/64", "2001:db8::1/64"]) == (
        [None] * 4
    )


def test_neighbouring_rubbish_never_joins_into_addresses() -> None:
    """Eight numbers in two texts are no two addresses when they are cut at the wrong place."""
    assert ip_subjects(["1.2.3", "4.5.6.7.8"]) == [None, None]
    assert ip_subjects(["1.2.3.4", "1.2.3.4."]) == [("1.2.3.4", 0x01020304), None]


def test_enormous_texts_are_no_addresses() -> None:
    for text in ("1." * 500_000, ":" * 500_000, "f" * 500_000, "0" * 500_000 + ".0.0.0"):
        assert ip_key(text) is None


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("Ann@Example.ORG", "ann@example.org"),
        ("<ann@example.org>", "ann@example.org"),
        ("ann+a+b@example.org", "ann@example.org"),
        ("+ann@example.org", "+ann@example.org"),
        ("ann@BÜCHER.example", "ann@xn--bcher-kva.example"),
        ("ann@XN--Bcher-KVA.example.", "ann@xn--bcher-kva.example"),
        ("ann@bu\u0308cher\u3002example", "ann@xn--bcher-kva.example"),
        ("ann@stra\u00dfe.example", "ann@xn--strae-oqa.example"),
        ("ann@\u2603\ufe0f-.example", "ann@\u2603\ufe0f-.example"),
        ("mu\u0308ller@example.org", "m\u00fcller@example.org"),
        ("ann@example.org.", "ann@example.org"),
        ('"a@b"@example.org', '"a@b"@example.org'),
        (" ann@example.org\r", "ann@example.org"),
        ("postmaster", "postmaster"),
        ("MÜLLER@EXAMPLE.ORG", "müller@example.org"),
        ("", None),
        ("   ", None),
        ("<>", None),
        ("a" * 513, None),
        ("a\ud800@example.org", None),
    ],
)
def test_spellings_of_a_mailbox(text: str, key: str | None) -> None:
    assert mailbox_key(text) == key


BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
letters = st.text(alphabet="aZ+@<>. \t.Éİß\u0130\u212a'\"", max_size=20)


@given(letters | st.text(max_size=30) | st.emails())
def test_a_mailbox_key_is_its_own_key_and_can_be_written(text: str) -> None:
    """What goes over the log comes back as the same key, and as UTF-8."""
    key = mailbox_key(text)
    if key is not None:
        assert mailbox_key(key) == key
        assert key.encode()


@given(st.emails())
def test_case_and_plus_addresses_share_a_mailbox(text: str) -> None:
    local, _, domain = text.rpartition("@")
    if not local.startswith("+"):
        assert mailbox_key(f"{local}+tag@{domain}") == mailbox_key(text.upper().lower())


@given(st.text(alphabet="abcdefgh", min_size=2, max_size=12))
def test_a_masked_mailbox_shows_no_more_than_its_initials(name: str) -> None:
    assert mailbox_masked(f"{name}@{name}.org") == f"{name[0]}***@{name[0]}***.org"


@given(st.text(max_size=20) | st.text(alphabet="a*.@\\u0\x1b\u202e\u2028\x85\0", max_size=12))
def test_a_masked_mailbox_masks_as_itself_and_moves_no_terminal(text: str) -> None:
    masked = mailbox_masked(text)
    assert mailbox_masked(masked) == masked
    assert not [c for c in masked if category(c) in {"Cc", "Cs", "Zl", "Zp"} or c in BIDI]


def test_an_escape_is_one_initial() -> None:
    assert mailbox_masked("\u202egro@\x1b]0;x\x07.\x9btest") == (r"\u202e***@\u001b***.\u009btest")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("ann-shop@example.org", "ann@example.org"),
        ("ann+shop-1@example.org", "ann@example.org"),
        ("ann-shop+1@example.org", "ann@example.org"),
        ("-ann@example.org", "-ann@example.org"),
        ("owner-news@example.org", "owner-news@example.org"),
        ("news-request@example.org", "news-request@example.org"),
        ("mailer-daemon@example.org", "mailer-daemon@example.org"),
        ("ann@ex-ample.org", "ann@ex-ample.org"),
    ],
)
def test_each_recipient_delimiter_ends_a_mailbox_as_in_postfix(text: str, key: str) -> None:
    assert mailbox_key(text, "-+") == mailbox_key(key, "-+") == key
    assert mailbox_key("ann+shop-1@example.org", "") == "ann+shop-1@example.org"
