"""Is the house in order? One finding a question, each with what to do about it; nothing is changed."""

from config.doctor.examination import examine
from config.doctor.finding import Finding, State

__all__ = ["Finding", "State", "examine"]
