"""The ASN table answers as a slow longest-match over `ipaddress` does, and names what it skips."""

import hashlib
import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from detector.errors import AsnTableError
from detector.events.address_columns import TextColumn, decimal_column, ipv4_column, ipv6_column
from detector.networks.enrich import UNKNOWN_ASN, AsnTable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
TSV = (
    b"192.0.2.0\t192.0.2.255\t64496\tZZ\tEXAMPLE-NET\n"
    b"192.0.2.64\t192.0.2.127\t64497\tZZ\tEXAMPLE-CUSTOMER\n"
    b"198.51.100.0\t198.51.100.255\t0\tNone\tNot routed\n"
    b"2001:db8::\t2001:db8:0:ffff:ffff:ffff:ffff:ffff\t64499\tZZ\tEXAMPLE-SIX\n"
)


def key(text: str) -> bytes:
    return ipaddress.ip_address(text).packed[:8]


def asn_of(table: AsnTable, text: str) -> int:
    return int(table.lookup([key(text)])[0])


def test_tab_separated_v4_and_v6_in_one_file() -> None:
    table, problems = AsnTable.parse(TSV, "ip2asn.tsv")
    assert problems == []
    assert (table.ranges, table.rejected) == (4, 0)
    assert asn_of(table, "192.0.2.63") == 64496
    assert asn_of(table, "192.0.2.64") == 64497
    assert asn_of(table, "192.0.2.128") == 64496
    assert asn_of(table, "2001:db8:0:7::1") == 64499
    assert asn_of(table, "2001:db8:1::") == UNKNOWN_ASN
    assert table.name(64497) == "EXAMPLE-CUSTOMER"
    assert table.name(64511) == ""


def test_unrouted_ranges_are_unknown() -> None:
    table, _ = AsnTable.parse(TSV, "ip2asn.tsv")
    assert asn_of(table, "198.51.100.9") == UNKNOWN_ASN


def test_comma_separated_with_quotes_commas_and_crlf() -> None:
    content = (
        b'192.0.2.0,192.0.2.255,64496,"Example, ""Mail"" Inc."\r\n'
        b"2001:db8::,2001:db8::ffff:ffff:ffff:ffff,64497,Plain Name"
    )
    table, problems = AsnTable.parse(content, "asn.csv")
    assert problems == []
    assert table.name(64496) == 'Example, "Mail" Inc.'
    assert table.name(64497) == "Plain Name"
    assert table.lookup([key("192.0.2.1"), key("2001:db8::")]).tolist() == [64496, 64497]


def test_a_line_without_a_name_or_country_is_enough() -> None:
    table, problems = AsnTable.parse(b"192.0.2.0\t192.0.2.9\t64496\n", "bare.tsv")
    assert problems == []
    assert asn_of(table, "192.0.2.9") == 64496
    assert table.name(64496) == ""


def test_rubbish_lines_are_named_with_their_number_and_the_rest_is_read() -> None:
    content = (
        b"# a comment\t\t\n\n   \n"
        b"start\tend\tasn\tcc\tname\n"
        b"192.0.2.0\t192.0.2.255\t64496\tZZ\tEXAMPLE\n"
        b"192.0.2.9\t192.0.2.1\t64496\tZZ\tEXAMPLE\n"
        b"192.0.2.0\t2001:db8::\t64496\tZZ\tEXAMPLE\n"
        b"192.0.2.256\t192.0.3.0\t64496\tZZ\tEXAMPLE\n"
        b"192.0.2.0\t192.0.3.0\t4294967296\tZZ\tEXAMPLE\n"
        b"192.0.2.0\t192.0.3.0\t" + b"9" * 1_000_000 + b"\tZZ\tEXAMPLE\n"
        b"2001:db8::1\t2001:db8::2\t64496\tZZ\tEXAMPLE\n"
        b"\x00\x1b[31m\xff\n"
    )
    table, problems = AsnTable.parse(content, "mixed.tsv")
    assert [problem.line for problem in problems] == [4, 6, 7, 8, 9, 10, 11, 12]
    assert [problem.reason for problem in problems] == [
        "the third field is no AS number (0 to 4294967295)",
        "start lies above end",
        "start or end is no IPv4 address",
        "start or end is no IPv4 address",
        "the third field is no AS number (0 to 4294967295)",
        "the third field is no AS number (0 to 4294967295)",
        "it covers no whole /64, and IPv6 counts by /64",
        "fewer than 3 fields",
    ]
    assert str(problems[-1]) == r"line 12: fewer than 3 fields: \x00\x1b[31m\xff"
    assert len(problems[5].excerpt) == 80
    assert (table.ranges, table.rejected) == (1, 8)


def test_all_bad_lines_are_counted_but_only_the_first_are_described() -> None:
    table, problems = AsnTable.parse(b"rubbish\n" * 5000 + TSV, "long.tsv")
    assert table.rejected == 5000
    assert [problem.line for problem in problems] == list(range(1, 101))


@pytest.mark.parametrize("content", [b"", b"\n \r\n\t\n"])
def test_an_empty_table_is_refused(content: bytes) -> None:
    with pytest.raises(AsnTableError, match=r"ASN table none\.tsv: it is empty"):
        AsnTable.parse(content, "none.tsv")


@pytest.mark.parametrize(
    "content",
    [
        b"rubbish\n",
        b"\x00\xff\xfe" * 5000,
        b'{"start": "192.0.2.0"}',
        b"1,2,3\n4,5,6\n",
        b"\t,\t,\t",
    ],
)
def test_a_table_of_rubbish_is_refused_with_the_layouts_that_are_read(content: bytes) -> None:
    with pytest.raises(AsnTableError, match="could be read; allowed are") as caught:
        AsnTable.parse(content, "bad.tsv")
    assert str(caught.value).startswith("ASN table bad.tsv: none of its ")
    assert str(caught.value).replace("\n", " ").isprintable()


def test_names_cannot_steer_a_terminal() -> None:
    content = b"192.0.2.0\t192.0.2.1\t64496\tZZ\tA\x1b[31m\xe2\x80\xaeB\xff" + b"x" * 200
    table, _ = AsnTable.parse(content, "t.tsv")
    assert table.name(64496).startswith(r"A\u001b[31m\u202eB\xff")
    assert table.name(64496).isprintable()
    assert len(table.name(64496)) < 120


def test_the_digest_is_that_of_the_bytes() -> None:
    table, _ = AsnTable.parse(TSV, "t.tsv")
    assert table.digest == hashlib.sha256(TSV).hexdigest()


def test_a_key_of_another_length_is_a_mistake_of_the_caller() -> None:
    table, _ = AsnTable.parse(TSV, "t.tsv")
    with pytest.raises(ValueError, match="4 bytes"):
        table.lookup([b"\x00" * 16])
    assert table.lookup([]).tolist() == []


# Ranges drawn from few edges, so that they nest, touch, repeat and overlap in part.
edges = st.integers(0, 40)
rows = st.lists(st.tuples(edges, edges, st.integers(0, 6)), min_size=1, max_size=14)
edges_v6 = st.builds(
    lambda upper, lower: (upper << 64) | lower,
    st.integers(0, 12) | st.just(2**64 - 1),
    st.sampled_from([0, 1, 2**63, 2**64 - 1]),
)
rows_v6 = st.lists(st.tuples(edges_v6, edges_v6, st.integers(0, 6)), min_size=1, max_size=14)


def table_of(ranges: list[tuple[int, int, int]], kind: type[Address]) -> AsnTable:
    lines = [f"{kind(a)}\t{kind(b)}\t{asn}\tZZ\tN{asn}" for a, b, asn in ranges]
    # One line that is always good: what is refused as a whole has a test of its own.
    lines.append("192.0.2.0\t192.0.2.0\t64496\tZZ\tN")
    return AsnTable.parse("\n".join(lines).encode(), "drawn.tsv")[0]


def slow_lookup(ranges: list[tuple[int, int, int]], key: int) -> int:
    covering = [
        (last - first, line, asn)
        for line, (first, last, asn) in enumerate(ranges)
        if asn and first <= key <= last
    ]
    return min(covering)[2] if covering else UNKNOWN_ASN


@given(rows)
@example([(0, 40, 1), (0, 40, 2), (3, 3, 4), (2, 5, 3), (5, 9, 5)])
def test_ipv4_answers_as_the_slow_longest_match(ranges: list[tuple[int, int, int]]) -> None:
    top = 2**32 - 41
    for base in (0, top):
        moved = [(a + base, b + base, asn) for a, b, asn in ranges]
        table = table_of(moved, ipaddress.IPv4Address)
        keys = list(range(base, base + 41))
        expected = [slow_lookup(moved, key) for key in keys]
        packed = [ipaddress.IPv4Address(key).packed for key in keys]
        assert table.lookup(packed).tolist() == expected


@given(rows_v6)
def test_ipv6_answers_as_the_slow_longest_match_of_whole_64s(
    ranges: list[tuple[int, int, int]],
) -> None:
    table = table_of(ranges, ipaddress.IPv6Address)
    # In units of /64: first whole network, last whole network.
    whole = [(-(-a // 2**64), (b + 1) // 2**64 - 1, asn) for a, b, asn in ranges if a <= b]
    keys = [*range(14), 2**64 - 2, 2**64 - 1]
    expected = [slow_lookup(whole, key) for key in keys]
    assert table.lookup([key.to_bytes(8) for key in keys]).tolist() == expected


@given(st.lists(st.tuples(st.integers(0, 32), st.integers(0, 2**32 - 1), st.integers(1, 9))))
def test_prefixes_answer_by_longest_prefix(drawn: list[tuple[int, int, int]]) -> None:
    networks = [
        (ipaddress.IPv4Network((bits, length), strict=False), asn) for length, bits, asn in drawn
    ]
    ranges = [(int(net[0]), int(net[-1]), asn) for net, asn in networks]
    table = table_of(ranges, ipaddress.IPv4Address)
    for address in {edge for net, _ in networks for edge in (net[0], net[-1])}:
        holding = [(-net.prefixlen, at) for at, (net, _) in enumerate(networks) if address in net]
        assert table.lookup([address.packed]).tolist() == [networks[min(holding)[1]][1]]


def number(kind: type[Address], text: bytes) -> int | None:
    try:
        return int(kind(text.decode("ascii")))
    except ValueError:
        return None


addressish = st.one_of(
    st.ip_addresses().map(lambda address: str(address).encode()),
    st.ip_addresses(v=6).map(lambda address: address.exploded.upper().encode()),
    st.text("01f:.", max_size=20).map(str.encode),
    st.text("0129:af", max_size=42).map(str.encode),
    st.binary(max_size=8),
    st.lists(st.sampled_from(["0", "7", "25", "256", "00", ""]), min_size=3, max_size=5).map(
        lambda parts: ".".join(parts).encode()
    ),
    st.lists(st.sampled_from(["0", "", "f", "ffff", "12345"]), min_size=6, max_size=10).map(
        lambda parts: ":".join(parts).encode()
    ),
)


@given(st.lists(addressish, max_size=30))
@example([b"", b":", b"::", b":::", b"1:", b":1", b"1::2:", b":1::2", b"::ffff:192.0.2.7", b"::%1"])
def test_text_columns_read_and_refuse_what_ipaddress_does(texts: list[bytes]) -> None:
    column = TextColumn.of(texts)
    v4, good_v4 = ipv4_column(column)
    upper, lower, good_v6 = ipv6_column(column)
    for row, text in enumerate(texts):
        expected_v4 = number(ipaddress.IPv4Address, text)
        expected_v6 = None if b"%" in text else number(ipaddress.IPv6Address, text)
        assert (int(v4[row]) if good_v4[row] else None) == expected_v4
        got_v6 = (int(upper[row]) << 64 | int(lower[row])) if good_v6[row] else None
        assert got_v6 == expected_v6


@given(st.lists(st.text("0123456789-+_ x", max_size=12).map(str.encode)))
@example([b"4294967295", b"4294967296", b"", b"0", b"00000000001"])
def test_decimals_are_plain_digits_of_at_most_32_bits(texts: list[bytes]) -> None:
    values, good = decimal_column(TextColumn.of(texts))
    for value, is_good, text in zip(values.tolist(), good.tolist(), texts, strict=True):
        allowed = text.isdigit() and len(text) <= 10 and int(text) < 2**32
        assert is_good == allowed
        assert not allowed or value == int(text)
