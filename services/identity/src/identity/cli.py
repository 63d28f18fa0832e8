"""What the person who holds the machine may do: let somebody back in, invite, forgive. Run inside the container."""

from __future__ import annotations

import argparse
import sys

from django.conf import settings

from identity.errors import PersonUnknown
from identity.house.models import Person, Role


def parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    root = argparse.ArgumentParser(
        prog="python -m identity", description="Without a command: serve."
    )
    commands = root.add_subparsers(dest="command")
    link = commands.add_parser(
        "recovery-link", help="print a one-time link that sets a new password"
    )
    link.add_argument("username")
    link.add_argument(
        "--reset-second-factor",
        action="store_true",
        help="also remove authenticator apps, passkeys and recovery codes",
    )
    invite = commands.add_parser("invite", help="print a one-time invitation")
    invite.add_argument("--role", choices=Role.values, default=Role.MEMBER.value)
    invite.add_argument("--hours", type=int, default=24)
    disable = commands.add_parser(
        "disable", help="end every session and token of a person and let them in no more"
    )
    disable.add_argument("username")
    commands.add_parser("forgive", help="forget all failed sign-ins, so that nobody is slowed")
    commands.add_parser("people", help="list who lives here")
    return root


def main(arguments: argparse.Namespace) -> int:
    """Run one command; returns the exit status."""
    from identity import audit, people, regulation

    if arguments.command == "recovery-link":
        person = _person(arguments.username)
        token = people.make_recovery(person, reset_second_factor=arguments.reset_second_factor)
        print(f"{settings.LARES.origin}/recover#{token}")
        print(f"Good once, for {people.RECOVERY_MINUTES} minutes.", file=sys.stderr)
    elif arguments.command == "invite":
        invite, token = people.make_invite(
            None,
            "made on the machine",
            arguments.role,
            max(1, min(arguments.hours, people.INVITE_HOURS_MAX)),
        )
        audit.record(
            None,
            "invite.made",
            "ok",
            detail={"invite": str(invite.pk), "role": arguments.role, "by": "machine"},
        )
        print(f"{settings.LARES.origin}/invite#{token}")
    elif arguments.command == "disable":
        person = _person(arguments.username)
        person.is_active = False
        person.save(update_fields=["is_active"])
        ended = people.end_other_sessions(person, keep=None)
        audit.record(None, "person.disabled", "ok", person=person, detail={"sessions_ended": ended})
        print(f"{person.username} is disabled; {ended} sessions ended.")
    elif arguments.command == "forgive":
        forgiven = regulation.forgive()
        audit.record(None, "regulation.forgiven", "ok", detail={"buckets": forgiven})
        print(f"{forgiven} buckets emptied.")
    elif arguments.command == "people":
        for person in Person.objects.order_by("created_at"):
            print(
                f"{person.username}\t{person.role}\t{'active' if person.is_active else 'disabled'}\t{person.pk}"
            )
    return 0


def _person(username: str) -> Person:
    person = Person.objects.filter(username=username.strip().lower()).first()
    if person is None:
        raise PersonUnknown
    return person
