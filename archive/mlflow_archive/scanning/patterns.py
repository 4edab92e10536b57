"""What is looked for: for each a regular expression, and a check of its digits where it has any.

Each has a ``sign`` as well, an expression for RE2, which Arrow runs over whole columns: it must match wherever the
pattern does, and is there so that the pattern itself, which is slow, sees few texts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from mlflow_archive.redacting.spellings import beginning

CREDENTIAL: Final = "credential"
EMAIL: Final = "e-mail"
IBAN: Final = "IBAN"
CARD: Final = "card"
KINDS: Final = (CREDENTIAL, EMAIL, IBAN, CARD)


_BEGINNING: Final = re.compile(beginning("A-Za-z0-9+"))


def _always(value: str) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """One thing to look for. ``value`` is the group of ``regex`` that is the value, ``accepts`` says whether it is one.

    What is ``apart`` does not begin inside a longer word, such as a picture in base64.
    """

    kind: str
    name: str
    sign: str
    regex: re.Pattern[str]
    value: int = 0
    accepts: Callable[[str], bool] = _always
    apart: bool = False

    def values(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield where in a text a value begins and ends."""
        for match in self.regex.finditer(text):
            begin, end = match.span(self.value)
            inside = self.apart and text[begin : begin + 1].isalnum() and not _BEGINNING.match(text, begin)
            if end > begin and not inside and self.accepts(text[begin:end]):
                yield begin, end


_IBAN_LENGTHS: Final = {
    length: countries.split()
    for length, countries in {
        15: "NO",
        16: "BE",
        18: "DK FK FI FO GL NL SD",
        19: "MK SI",
        20: "AT BA EE KZ LT LU MN XK",
        21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA",
        23: "AE GI IL IQ OM SO TL",
        24: "AD CZ DZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST",
        26: "IS TR",
        27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
        29: "BR EG PS QA UA",
        30: "JO KW MU YE",
        31: "MT SC",
        33: "LC RU",
    }.items()
}
_LENGTH_OF: Final = {country: length for length, countries in _IBAN_LENGTHS.items() for country in countries}


def is_iban(text: str) -> bool:
    """Return whether a text is an IBAN (ISO 13616): of the length that its country has, with the right check digits.

    >>> is_iban("DE89 3704 0044 0532 0130 00"), is_iban("DE88 3704 0044 0532 0130 00")
    (True, False)
    """
    letters = re.sub(r"[ -]", "", text)
    if _LENGTH_OF.get(letters[:2]) != len(letters):
        return False
    return int("".join(str(int(letter, 36)) for letter in letters[4:] + letters[:4])) % 97 == 1


_CARD_NUMBERS: Final = re.compile(
    r"4[0-9]{12}(?:[0-9]{3}){0,2}"  # Visa
    r"|(?:5[1-5][0-9]{2}|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}"  # Mastercard
    r"|3[47][0-9]{13}"  # American Express
    r"|3(?:0[0-5]|[68][0-9])[0-9]{11}"  # Diners Club
    r"|6(?:011|5[0-9]{2}|4[4-9][0-9])[0-9]{12}"  # Discover
    r"|35(?:2[89]|[3-8][0-9])[0-9]{12}"  # JCB
)


def is_card(text: str) -> bool:
    """Return whether a text is a card's number: of an issuer's range, with the right check digit (Luhn, ISO 7812).

    >>> is_card("4111 1111 1111 1111"), is_card("4111 1111 1111 1112")
    (True, False)
    """
    digits = re.sub(r"[ -]", "", text)
    if not _CARD_NUMBERS.fullmatch(digits) or len(set(digits)) == 1:
        return False
    doubled = [int(digit) * (1 + at % 2) for at, digit in enumerate(reversed(digits))]
    return sum(number - 9 if number > 9 else number for number in doubled) % 10 == 0


_FILE: Final = re.compile(
    r"bmp|css|csv|gif|gz|html|ico|ipynb|jpe?g|js|json|npy|pdf|pkl|png|pyc?|sql|svg|tar|toml|tsx?|txt|webp|whl|xml|ya?ml|zip"
)
"""Ends of file names that look like those of addresses: ``icon@2x.png``."""


def is_email(text: str) -> bool:
    """Return whether a text is the address of somebody: not the user of a Git server, nor the name of a file.

    >>> is_email("ada@bank.example"), is_email("ada@bank.example.txt"), is_email("git@github.com"), is_email("i@2x.png")
    (True, True, False, False)
    """
    user, _, domain = text.partition("@")
    labels = domain.lower().split(".")
    while labels and _FILE.fullmatch(labels[-1]):
        labels.pop()
    return user.lower() != "git" and len(labels) > 1 and labels[-1].isalpha()


PERSONAL: Final = (
    Pattern(
        kind=EMAIL,
        name="e-mail address",
        sign=r"[A-Za-z0-9_%+-]@[A-Za-z0-9]",
        regex=re.compile(
            r"(?!(?<=\\)(?:[bfnrt]|u[0-9A-Fa-f]{4})|(?<=%25)[0-9A-Fa-f]{2})"  # an escape is none of the address
            + beginning("A-Za-z0-9._%+/-")
            + r"[A-Za-z0-9](?:[A-Za-z0-9._%+-]{0,62}[A-Za-z0-9_%+-])?"
            r"@[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}\.)+[A-Za-z]{2,24}(?![A-Za-z0-9-])",
            re.ASCII,
        ),
        accepts=is_email,
    ),
    Pattern(
        kind=IBAN,
        name="IBAN",
        sign=r"[A-Z]{2}[0-9]{2}[ -]?[A-Z0-9]{4}",
        regex=re.compile(
            beginning() + r"[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?(?![A-Za-z0-9])", re.ASCII
        ),
        accepts=is_iban,
    ),
    Pattern(
        kind=CARD,
        name="card number",
        sign=r"[0-9](?:[ -]?[0-9]){12}",
        regex=re.compile(
            beginning("A-Za-z0-9._-") + r"(?=[3-6]|2[2-7])"
            r"(?:[0-9]{13,19}|[0-9]{4}(?:[ -][0-9]{4}){3}|[0-9]{4}[ -][0-9]{6}[ -][0-9]{4,5})"
            r"(?![A-Za-z0-9_-]|\.[0-9])",
            re.ASCII,
        ),
        accepts=is_card,
    ),
)
"""Addresses and numbers of people."""
