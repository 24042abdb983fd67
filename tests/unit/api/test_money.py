"""Money is exact, and two currencies do not meet."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aibudget.api.money import AMOUNT_MAX, Money, parse_amount

amounts = st.decimals(min_value=0, max_value=AMOUNT_MAX, places=9, allow_nan=False, allow_infinity=False)


@given(st.integers(min_value=0, max_value=AMOUNT_MAX))
def test_an_integer_is_kept(amount: int) -> None:
    """Every whole amount in range reads as itself, bare and quoted."""
    assert parse_amount(amount) == parse_amount(str(amount)) == amount


@given(amounts)
def test_a_decimal_string_is_kept_digit_by_digit(amount: Decimal) -> None:
    """What was written is what is read, trailing zeros included."""
    written = format(amount, "f")
    assert format(parse_amount(written), "f") == written


@given(st.text() | st.from_regex(r"[0-9_.,eE+\-  ]{1,30}", fullmatch=True))
def test_any_text_is_an_exact_amount_or_refused(text: str) -> None:
    """No text is taken for an amount that it does not spell out."""
    try:
        amount = parse_amount(text)
    except ValueError:
        return
    assert format(amount, "f") == text
    assert 0 <= amount < AMOUNT_MAX + 1


NOT_MONEY: tuple[object, ...] = (
    *(1.5, 500.0, float("nan"), True, None, [], Decimal(5), -1, AMOUNT_MAX + 1),
    *("", " 5", "5 ", "5\n", "+5", "-5", "1_000", "1e3", "NaN", "inf", ".5", "5.", "05", "0x10"),
    *("\uff15\uff10", "\u0661"),
)


@pytest.mark.parametrize("value", NOT_MONEY)
def test_what_is_not_plain_money_is_refused(value: object) -> None:
    """Floats, signs, exponents, separators and other scripts' digits raise, with a way out."""
    with pytest.raises(ValueError, match=r"must|is not an amount"):
        parse_amount(value)


@given(amounts, amounts)
def test_sums_and_differences_are_exact(one: Decimal, other: Decimal) -> None:
    """Adding and taking away again gives the same amount."""
    assert Money(one, "USD") + Money(other, "USD") - Money(other, "USD") == Money(one, "USD")


def test_currencies_do_not_mix() -> None:
    """Arithmetic and order across currencies raise; equality is just false."""
    dollars, euros = Money(Decimal(1), "USD"), Money(Decimal(1), "EUR")
    for mix in (
        lambda: dollars + euros,
        lambda: dollars - euros,
        lambda: dollars < euros,
        lambda: dollars >= euros,
    ):
        with pytest.raises(ValueError, match="USD and EUR"):
            mix()
    assert dollars != euros


def test_display_rounds_half_to_even() -> None:
    """Rounding is for display, and does not drift upwards."""
    shown = [Money(Decimal(text), "USD").display() for text in ("0.125", "0.135", "978.7549", "5")]
    assert shown == ["0.12", "0.14", "978.75", "5.00"]
    assert str(Money(Decimal("2.5"), "EUR") * 2) == "5.00 EUR"
