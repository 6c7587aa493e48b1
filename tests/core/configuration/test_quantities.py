"""Kubernetes quantities, checked against the behaviour that its documentation and its parser state."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimjobs.core.configuration.quantities import (
    BINARY_SUFFIXES,
    DECIMAL_SUFFIXES,
    NANO,
    Notation,
    Quantity,
    QuantityError,
    parse_quantity,
)

LARGEST = 2**63 - 1


@pytest.mark.parametrize(
    ("text", "amount", "canonical"),
    [
        ("0", Fraction(0), "0"),
        ("0Mi", Fraction(0), "0"),
        ("1", Fraction(1), "1"),
        ("100m", Fraction(1, 10), "100m"),
        ("0.1", Fraction(1, 10), "100m"),
        (".5", Fraction(1, 2), "500m"),
        ("1.", Fraction(1), "1"),
        ("1.5", Fraction(3, 2), "1500m"),
        ("1500m", Fraction(3, 2), "1500m"),
        ("1000m", Fraction(1), "1"),
        ("+2", Fraction(2), "2"),
        ("-1.5", Fraction(-3, 2), "-1500m"),
        ("007", Fraction(7), "7"),
        ("1n", Fraction(1, 10**9), "1n"),
        ("5u", Fraction(5, 10**6), "5u"),
        ("1.2345", Fraction(12345, 10**4), "1234500u"),
        ("2k", Fraction(2000), "2k"),
        ("2000", Fraction(2000), "2k"),
        ("3M", Fraction(3 * 10**6), "3M"),
        ("4G", Fraction(4 * 10**9), "4G"),
        ("5T", Fraction(5 * 10**12), "5T"),
        ("6P", Fraction(6 * 10**15), "6P"),
        ("7E", Fraction(7 * 10**18), "7E"),
        ("1000E", Fraction(10**21), "1e21"),
        ("1e30", Fraction(10**30), "1e30"),
        ("1" + "0" * 30, Fraction(10**30), "1e30"),
        ("18446744073709551616", Fraction(2**64), "18446744073709551616"),
        ("400Mi", Fraction(400 * 2**20), "400Mi"),
        ("1024Mi", Fraction(2**30), "1Gi"),
        ("1.5Gi", Fraction(3 * 2**29), "1536Mi"),
        ("0.5Ki", Fraction(512), "512"),
        ("1Ti", Fraction(2**40), "1Ti"),
        ("1Pi", Fraction(2**50), "1Pi"),
        ("7Ei", Fraction(7 * 2**60), "7Ei"),
        ("1e3", Fraction(1000), "1e3"),
        ("1E3", Fraction(1000), "1e3"),
        ("12e4", Fraction(120_000), "120e3"),
        ("1e0", Fraction(1), "1"),
        ("15e-1", Fraction(3, 2), "1500e-3"),
        ("1e+2", Fraction(100), "100"),
    ],
)
def test_a_quantity_is_exact_and_has_one_canonical_text(text: str, amount: Fraction, canonical: str) -> None:
    quantity = parse_quantity(text)
    assert quantity.amount == amount
    assert str(quantity) == canonical


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("8Ei", Fraction(LARGEST)),
        ("-8Ei", Fraction(-LARGEST)),
        ("999999999999Ti", Fraction(LARGEST)),
        ("0.9n", Fraction(1, NANO)),
        ("-0.1n", Fraction(-1, NANO)),
        ("1.0000000001", Fraction(NANO + 1, NANO)),
        ("1e-99", Fraction(1, NANO)),
        ("0.0000000001Ki", Fraction(103, NANO)),
    ],
)
def test_what_is_too_fine_is_rounded_up_and_what_is_too_large_a_binary_is_capped(text: str, amount: Fraction) -> None:
    assert parse_quantity(text).amount == amount


NOT_QUANTITIES = (
    "|.|+|-|Mi|m|abc|1 Gi| 1|1 |1Gb|1GB|1gi|1K|1ki|1Mib|--1|1e|1e3.5|1e3Mi|1mm|1..2|1.2.3|1,5|0x10|1_000|1i|1Ni|٣"
    "|1e31|1000000000001E|1e100|1e999999999"
)


@pytest.mark.parametrize("text", [*NOT_QUANTITIES.split("|"), "1" * 65, "1\n"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(QuantityError):
        parse_quantity(text)


def test_a_refusal_shows_what_a_quantity_looks_like() -> None:
    with pytest.raises(QuantityError, match=r"such as 100m, 0\.5, 400Mi or 2G"):
        parse_quantity("much")


def test_quantities_are_compared_by_amount_not_by_notation() -> None:
    assert parse_quantity("1Gi") == parse_quantity("1024Mi") == parse_quantity("1073741824")
    assert parse_quantity("1G") < parse_quantity("1Gi")
    assert parse_quantity("0.4") <= parse_quantity("400m")
    assert parse_quantity("2Gi") > parse_quantity("400Mi")
    assert len({parse_quantity("1"), parse_quantity("1000m")}) == 1


@given(st.integers(-(10**30), 10**30), st.sampled_from(Notation))
def test_the_canonical_text_reads_back_as_the_same_amount(nanos: int, notation: Notation) -> None:
    quantity = Quantity(nanos, notation)
    again = parse_quantity(str(quantity))
    capped = max(-LARGEST * NANO, min(nanos, LARGEST * NANO))
    assert again.nanos in {nanos, capped}
    if notation is not Notation.BINARY:
        assert again.nanos == nanos
    assert str(parse_quantity(str(again))) == str(again)


@given(st.integers(0, 10**12), st.integers(0, 10**6), st.sampled_from([*DECIMAL_SUFFIXES, *BINARY_SUFFIXES]))
def test_a_number_and_a_suffix_mean_their_product(whole: int, millionths: int, suffix: str) -> None:
    factor = (
        Fraction(2 ** BINARY_SUFFIXES[suffix])
        if suffix in BINARY_SUFFIXES
        else Fraction(10) ** DECIMAL_SUFFIXES[suffix]
    )
    product = (whole + Fraction(millionths, 10**7)) * factor
    read = parse_quantity(f"{whole}.{millionths:07}{suffix}").amount
    if suffix in BINARY_SUFFIXES and product > LARGEST:
        assert read == LARGEST
    else:
        assert product <= read < product + Fraction(1, NANO)
