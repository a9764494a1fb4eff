"""How a block store is named."""

import pytest

from detector.errors import StoreUrlError
from pipelines.stores import open_store


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redis://localhost/zero", "its database must be a number: allowed are redis://"),
        ("valkey://localhost/0", "not the address of a store: allowed are sqlite:///PATH"),
        ("sqlite://", "not the address of a store: allowed are sqlite:///PATH"),
        ("sqlite:///", "not the address of a store"),
        ("blocks.db", "not the address of a store"),
        ("\x1b[31m", r"block store \\x1b\[31m: not the address"),
    ],
)
def test_an_address_that_names_no_store_is_refused(url: str, message: str) -> None:
    with pytest.raises(StoreUrlError, match=message):
        open_store(url)
