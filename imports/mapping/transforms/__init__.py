"""Every transform by its name: importing this package fills the registry."""

from imports.mapping.transforms import choice, text
from imports.mapping.transforms.registry import REGISTRY, prepare

__all__ = ["REGISTRY", "choice", "prepare", "text"]
