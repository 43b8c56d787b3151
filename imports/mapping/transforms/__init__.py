"""Every transform by its name: importing this package fills the registry."""

from imports.mapping.transforms import amount, choice, condition, contact, country, moment, protection, text
from imports.mapping.transforms.registry import REGISTRY, Ready, prepare, prepare_all

__all__ = [
    "REGISTRY",
    "Ready",
    "amount",
    "choice",
    "condition",
    "contact",
    "country",
    "moment",
    "prepare",
    "prepare_all",
    "protection",
    "text",
]
