"""Django writes tables that it never made: they must be what its models think they are."""

import pytest
from identity.regulation import DEVICE, NAME

pytestmark = pytest.mark.integration
# Columns that a model calls by another type than the catalogue does.
TYPES = {"varchar": "character varying", "serial": "integer", "bigserial": "bigint"}


def test_django_finds_no_migration_to_run_and_none_to_make(house):
    from django.core.management import call_command

    # Each exits with a status when it finds something.
    call_command("migrate", check_unapplied=True, verbosity=0)
    call_command("makemigrations", check_changes=True, dry_run=True, verbosity=0)


def test_every_column_is_what_its_model_says(house):
    from django.apps import apps
    from django.db import connection

    checked = 0
    for model in apps.get_models():
        if model._meta.app_label in ("auth", "contenttypes"):
            continue
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT column_name, data_type, is_nullable, character_maximum_length FROM information_schema.columns "
                "WHERE table_schema = 'edge' AND table_name = %s",
                [model._meta.db_table],
            )
            columns = {row[0]: row[1:] for row in cursor.fetchall()}
        fields = {field.column: field for field in model._meta.local_fields}
        assert set(columns) == set(fields), model
        for name, (kind, nullable, length) in columns.items():
            wanted = (fields[name].db_type(connection) or "").partition("(")[0]
            assert TYPES.get(wanted, wanted) == kind, (model, name)
            assert (nullable == "YES") == fields[name].null, (model, name)
            if length is not None:
                assert length == fields[name].max_length, (model, name)
            checked += 1
    assert checked > 60


def test_the_cache_remembers_a_used_code_longer_than_it_could_be_accepted(house):
    from datetime import timedelta

    from django.core.cache import cache
    from django.db import connection
    from django.utils import timezone

    key = "allauth.mfa.totp.used?user=1&code=123456"
    assert cache.add(key, "y", timeout=30)
    assert not cache.add(key, "y", timeout=30)
    with connection.cursor() as cursor:
        cursor.execute("SELECT min(expires) FROM identity_cache")
        (expires,) = cursor.fetchone()
    assert expires > timezone.now() + timedelta(seconds=90)
    assert cache.add("anything-else", "y", timeout=30)


def test_secrets_are_sealed_and_another_key_does_not_open_them(house):
    from cryptography.exceptions import InvalidTag
    from django.test import override_settings
    from identity import seal

    one, two = seal.seal("JBSWY3DP"), seal.seal("JBSWY3DP")
    assert one != two
    assert "JBSWY3DP" not in one
    assert seal.open_(one) == seal.open_(two) == "JBSWY3DP"
    with override_settings(SECRET_KEY="another"), pytest.raises(InvalidTag):
        seal.open_(one)
    with pytest.raises(ValueError):
        seal.open_("JBSWY3DP")


def test_the_kinds_of_buckets_are_what_the_runbook_says():
    assert (NAME.free, NAME.limit_s) == (10, 120)
    assert DEVICE.free >= NAME.free
