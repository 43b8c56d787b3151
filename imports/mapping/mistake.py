"""What is wrong with a mapping's definition, all of it at once."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mistake:
    """`place` is the way to it, such as fields[3].transforms[0].prefix.text; `message` says what to do."""

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place or 'mapping'}: {self.message}"


class UnfitMapping(Exception):
    """The definition cannot be used; `mistakes` holds at least one."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = mistakes


class WrongArgument(ValueError):
    """An argument that has the right type cannot be used; the text says what to do."""


class WrongSteps(WrongArgument):
    """Steps inside an argument cannot be used; the places of `mistakes` begin at the argument."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__(mistakes[0].message)
        self.mistakes = mistakes
