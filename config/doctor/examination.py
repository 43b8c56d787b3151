"""All questions in the order in which an answer makes the next one worth asking."""

from collections.abc import Iterator

from config.doctor import data, host, servers
from config.doctor.finding import Finding, State


def examine() -> Iterator[Finding]:
    """The findings, one by one as they are made. Without PostgreSQL or its tables the rest cannot be asked."""
    yield from host.settings_in_order()
    yield host.free_disk()
    yield from host.private_files()
    yield servers.valkey()
    database = servers.postgres()
    yield database
    if database.state is State.FAULT:
        return
    migrations = servers.migrations()
    yield migrations
    if migrations.state is State.FAULT:
        return
    yield servers.clock()
    yield servers.connections()
    yield servers.workers()
    yield data.data_keys()
    yield from data.references()
    yield data.mappings()
    yield data.retention()
    yield data.oldest_waiting()
    yield data.audit_trail()
