"""What the runner refuses, with a code and an exit status each."""

from __future__ import annotations

from kit.errors import KitError


class MigrateError(KitError):
    """A run that ended without doing all that it was asked; `exit_status` is the process's."""

    exit_status = 1


class BadFile(MigrateError):
    """A migration file that cannot be run as it is written."""

    code, status = "migrate.bad_file", 500
    reason = "A migration file is not as the runner expects it."
    fix = "Read the message: name, header, `-- up`, `-- down`, no transaction control. Nothing was applied."


class EditedFile(MigrateError):
    """A file that was applied and has been changed, or is gone, since."""

    code, status = "migrate.edited_file", 500
    reason = "A migration that is already applied has been edited or removed."
    fix = "Put the file back as it was applied, and write the change as a new file."
    exit_status = 4


class Unavailable(MigrateError):
    """Postgres did not answer within the time given."""

    code, status = "migrate.unavailable", 503
    reason = "Postgres did not answer in time."
    fix = "See that the postgres container is up and its password is the one in the secrets, then run again."
    exit_status = 5


class Busy(MigrateError):
    """Another run held the lock for longer than this one may wait."""

    code, status = "migrate.busy", 503
    reason = "Another migration is under way and did not finish in time."
    fix = "Wait for it to end, then run again: what it has applied is not applied twice."
    exit_status = 6


class Blocked(MigrateError):
    """A table stayed locked by somebody through every try."""

    code, status = "migrate.blocked", 503
    reason = "A migration could not get the lock it needs: something holds the table."
    fix = "Stop the service that holds it, or run again later. The file was rolled back whole."
    exit_status = 7


class Failed(MigrateError):
    """Postgres refused a statement of a file; that file was rolled back whole."""

    code, status = "migrate.failed", 500
    reason = "Postgres refused a migration; the file was rolled back whole."
    fix = "Read the message and mend the file; those before it stay applied."


class Pending(MigrateError):
    """Files wait to be applied (`verify`)."""

    code, status = "migrate.pending", 500
    reason = "Some migrations are not applied yet."
    fix = "Run `make migrate`."
    exit_status = 3


class Drifted(MigrateError):
    """Roles, grants or settings differ from what the house declares (`verify`)."""

    code, status = "migrate.drifted", 500
    reason = "Roles, memberships, settings or database rights differ from what the house declares."
    fix = "Find out who changed them, then run `make migrate`, which puts them back."
    exit_status = 8


class Unconfirmed(MigrateError):
    """`down` without the word that says its loss is meant."""

    code, status = "migrate.confirmation_required", 400
    reason = "Going down drops tables and all that is in them."
    fix = "Make a backup, then say it again with --destroy."
    exit_status = 2
