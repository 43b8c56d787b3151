"""Who takes part in the demo: a customer, a key for one run, and somebody who may sign in to the admin."""

from typing import Final

from config import staff
from customers.enrolment import IssuedKey, enrol, issue_key
from customers.models import Customer

SLUG: Final = "demo"
NAME: Final = "Demo"


def demo_customer() -> Customer:
    """The customer of every run, made by the first one."""
    customer = Customer.objects.filter(slug=SLUG).first()
    if customer is None:
        customer = Customer(name=NAME, slug=SLUG)
        enrol(customer)
    return customer


def fresh_key(customer: Customer) -> IssuedKey:
    """A key for this run: its secret is in memory and in the client's environment, never in a file, and it expires
    within a day. Whoever wants to go on by hand rotates it."""
    return issue_key(customer, label="make demo", expires_in_days=1)


def first_admin() -> str | None:
    """The password of the admin that was just made, or None where there is an admin already."""
    return None if staff.has_admin() else staff.create_admin(staff.DEFAULT_USERNAME)
