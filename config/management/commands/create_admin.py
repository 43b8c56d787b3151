import getpass
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.context import Actor, acting_as
from config import staff


class Command(BaseCommand):
    help = "Make a login for the admin. Its password is made up, printed once and cannot be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--username", default=staff.DEFAULT_USERNAME, help="default: %(default)s")
        parser.add_argument("--reset", action="store_true", help="give an existing admin a new password and unlock it")
        parser.add_argument(
            "--password-stdin", action="store_true", help="read the password from standard input and do not print it"
        )

    def handle(self, *args: Any, username: str, reset: bool, password_stdin: bool, **options: Any) -> None:
        given = _read_password() if password_stdin else ""
        try:
            with acting_as(Actor("command", "create_admin")):
                password = (staff.reset_password if reset else staff.create_admin)(username, given)
        except staff.StaffError as error:
            raise CommandError(str(error)) from None
        done = f"{username} has a new password." if reset else f"Admin {username} is ready."
        self.stdout.write(self.style.SUCCESS(done))
        if not given:
            self.stdout.write("")
            self.stdout.write(f"  user       {username}")
            self.stdout.write(f"  password   {password}")
            self.stdout.write("")
            self.stdout.write("Store the password now: it cannot be shown again. Sign in at /admin/.")


def _read_password() -> str:
    """One line of standard input; typed twice where that is a terminal."""
    if not sys.stdin.isatty():
        password = sys.stdin.readline().rstrip("\r\n")
    elif (password := getpass.getpass("Password: ")) != getpass.getpass("Once more: "):
        raise CommandError("The two passwords differ.")
    if not password:
        raise CommandError("No password was given.")
    return password
