"""The trail's two tables. Their rows are written by audit.trail and never change: triggers see to that."""

from django.contrib.postgres.indexes import BrinIndex
from django.db import connection, models
from django.db.models.functions import Length
from django.db.models.lookups import Exact

from audit.chain import GENESIS


class ActorKind(models.TextChoices):
    SYSTEM = "system"
    KEY = "key"
    STAFF = "staff"
    COMMAND = "command"


class AuditEvent(models.Model):
    """One thing that somebody did. `sequence` is its position in the chain, from 1 and without gaps.

    `customer_id` is a plain number: the trail outlives what it speaks of and depends on nothing.
    """

    sequence = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField()
    actor_kind = models.CharField(max_length=10, choices=ActorKind)
    actor_id = models.CharField(max_length=150)
    action = models.CharField(max_length=60)
    target = models.CharField(max_length=141)
    customer_id = models.BigIntegerField(null=True)
    record_count = models.BigIntegerField(null=True)
    source_ip = models.GenericIPAddressField(null=True)
    request_id = models.CharField(max_length=128, blank=True)
    detail = models.JSONField(default=dict)
    previous_hash = models.BinaryField(max_length=32)
    hash = models.BinaryField(max_length=32)

    class Meta:
        verbose_name = "audit event"
        ordering = ["-sequence"]
        default_permissions = ("view",)
        constraints = [
            models.CheckConstraint(name="audit_event_sequence_from_one", condition=models.Q(sequence__gte=1)),
            models.CheckConstraint(
                name="audit_event_actor_kind_known", condition=models.Q(actor_kind__in=ActorKind.values)
            ),
            models.CheckConstraint(
                name="audit_event_count_not_negative",
                condition=models.Q(record_count__isnull=True) | models.Q(record_count__gte=0),
            ),
            models.CheckConstraint(
                name="audit_event_hashes_whole",
                condition=models.Q(Exact(Length("hash"), 32)) & models.Q(Exact(Length("previous_hash"), 32)),
            ),
        ]
        indexes = [
            models.Index(
                fields=["customer_id", "-at"],
                name="audit_event_customer_at",
                condition=models.Q(customer_id__isnull=False),
            ),
            models.Index(fields=["target", "-at"], name="audit_event_target_at"),
            models.Index(fields=["actor_id", "-at"], name="audit_event_actor_at"),
            models.Index(fields=["action", "-at"], name="audit_event_action_at"),
            models.Index(fields=["request_id"], name="audit_event_request", condition=~models.Q(request_id="")),
            BrinIndex(fields=["at"], name="audit_event_at"),
        ]

    def __str__(self) -> str:
        return f"{self.sequence} {self.action} {self.target}"


class AuditHead(models.Model):
    """Where the chain ends: one row. Writers lock it, so events are numbered one transaction after the
    other.
    """

    ONLY = 1

    id = models.SmallIntegerField(primary_key=True, default=ONLY)
    sequence = models.BigIntegerField(default=0)
    hash = models.BinaryField(max_length=32, default=GENESIS)

    class Meta:
        default_permissions = ()
        constraints = [
            models.CheckConstraint(name="audit_head_only_one", condition=models.Q(id=1)),
            models.CheckConstraint(name="audit_head_sequence_not_negative", condition=models.Q(sequence__gte=0)),
            models.CheckConstraint(name="audit_head_hash_whole", condition=models.Q(Exact(Length("hash"), 32))),
        ]

    def __str__(self) -> str:
        return f"head at {self.sequence}"


def actions() -> list[str]:
    """The actions that occur, by one index probe each; DISTINCT would read the entire trail."""
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH RECURSIVE step AS ("
            " (SELECT action FROM audit_auditevent ORDER BY action LIMIT 1)"
            " UNION ALL"
            " SELECT (SELECT e.action FROM audit_auditevent e"
            "  WHERE e.action > step.action ORDER BY e.action LIMIT 1)"
            " FROM step WHERE step.action IS NOT NULL"
            ") SELECT action FROM step WHERE action IS NOT NULL"
        )
        return [row[0] for row in cursor.fetchall()]
