"""The company whose CRM the demo exports: its products, its customers and what they ordered."""

import itertools
import random
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from config.demo import words

Record = dict[str, Any]

_EPOCH: Final = date(2019, 1, 1)
_DAYS: Final = 1_900
_PRODUCT_SHARE, _CUSTOMER_SHARE = 0.1, 0.3
_LINE_COUNTS: Final = (1, 1, 1, 2, 2, 3)


class Company:
    """What the records know of each other: products' prices, customers' regions and cities."""

    def __init__(self, dice: random.Random, records: int) -> None:
        self._dice = dice
        self._product_count = max(1, round(records * _PRODUCT_SHARE))
        self._customer_count = max(1, round(records * _CUSTOMER_SHARE))
        self._cents: list[int] = []
        self._homes: list[tuple[int, int]] = []

    def records(self) -> Iterator[Record]:
        """Without end."""
        yield from map(self._product, range(self._product_count))
        yield from map(self._customer, range(self._customer_count))
        yield from map(self._order, itertools.count())

    def _product(self, number: int) -> Record:
        pick, below = self._dice.choice, self._dice.randrange
        cents = below(190, 90_000)
        self._cents.append(cents)
        custom = {
            "supplier": f"{pick(words.COMPANY_NAMES)} {pick(words.TRADES)}",
            "shelf": f"{pick('ABCDE')}{below(40)}",
        }
        if below(3) == 0:
            custom["origin"] = pick(words.REGIONS).country
        return {
            "id": _product_id(number),
            "type": "product",
            "attributes": {
                "name": f"{pick(words.PRODUCTS)}, {pick(words.MATERIALS)}, {below(4, 400)} mm",
                "sku": f"{pick('KLMNP')}{below(100_000, 999_999)}-{below(10, 99)}",
                "category": pick(words.CATEGORIES),
                "price": _money(cents),
                "currency": "EUR",
                "taxRate": Decimal("0.19"),
                "weightKg": Decimal(below(1, 40_000)).scaleb(-3),
                "stock": below(2_000),
                "reorderLevel": below(10, 200),
                "dimensions": {"lengthMm": below(20, 900), "widthMm": below(20, 400)},
                "isDiscontinued": below(12) == 0,
            },
            "customFields": custom,
        }

    def _customer(self, number: int) -> Record:
        pick, below = self._dice.choice, self._dice.randrange
        home = below(len(words.REGIONS))
        region = words.REGIONS[home]
        city = below(len(region.cities))
        self._homes.append((home, city))
        given, family = pick(region.given), pick(region.family)
        name = f"{pick(words.COMPANY_NAMES)} {pick(words.TRADES)} {pick(region.forms)}"
        custom = {"segment": pick(words.SEGMENTS), "accountManager": pick(words.MANAGERS)}
        if below(4) == 0:
            custom["note"] = pick(words.NOTES)
        return {
            "id": _customer_id(number),
            "type": "customer",
            "attributes": {
                "companyName": name,
                "contactName": f"{family} {given}" if region.family_first else f"{given} {family}",
                "email": f"contact.{number}@example.{pick(('com', 'net', 'org'))}",
                "phone": f"{region.phone}-{below(1_000, 9_999)}",
                "street": f"{pick(region.streets)} {below(1, 140)}",
                "postalCode": region.postal.format(below(100, 999)),
                "city": region.cities[city],
                "country": region.country,
                "creditLimit": _money(below(10, 2_000) * 5_000),
                "currency": region.currency,
                "customerSince": self._day(),
            },
            "customFields": custom,
        }

    def _order(self, number: int) -> Record:
        pick, below = self._dice.choice, self._dice.randrange
        customer = below(len(self._homes))
        home, city = self._homes[customer]
        region = words.REGIONS[home]
        lines, total = [], 0
        for _ in range(pick(_LINE_COUNTS)):
            product, quantity = below(len(self._cents)), below(1, 25)
            cents = self._cents[product]
            total += cents * quantity
            lines.append({"productId": _product_id(product), "quantity": quantity, "unitPrice": _money(cents)})
        custom = {"channel": pick(words.CHANNELS)}
        if below(5) == 0:
            custom["giftMessage"] = pick(words.GREETINGS)
        return {
            "id": f"SO-{number:07d}",
            "type": "order",
            "attributes": {
                "customerId": _customer_id(customer),
                "orderDate": self._day(),
                "status": pick(words.ORDER_STATES),
                "lines": lines,
                "total": _money(total),
                "currency": "EUR",
                "shipTo": {
                    "street": f"{pick(region.streets)} {below(1, 140)}",
                    "city": region.cities[city],
                    "country": region.country,
                },
            },
            "customFields": custom,
        }

    def _day(self) -> str:
        return (_EPOCH + timedelta(days=self._dice.randrange(_DAYS))).isoformat()


def _product_id(number: int) -> str:
    return f"P-{number + 1_000}"


def _customer_id(number: int) -> str:
    return f"C-{number + 100_000}"


def _money(cents: int) -> Decimal:
    return Decimal(cents).scaleb(-2)
