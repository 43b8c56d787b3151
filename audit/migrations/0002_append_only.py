"""The trail only grows: the database itself refuses everything else, whoever asks.

The refusing triggers are ENABLE ALWAYS, so that session_replication_role does not switch them off. Who owns the tables can
still drop them; `manage.py verify_audit` finds what was done then.
"""

from django.db import migrations

REFUSE = """
CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'The audit trail is append-only: % on % is refused.', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER audit_event_no_change BEFORE UPDATE OR DELETE ON audit_auditevent
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_head_no_delete BEFORE DELETE ON audit_audithead
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
ALTER TABLE audit_auditevent ENABLE ALWAYS TRIGGER audit_event_no_change;
ALTER TABLE audit_audithead ENABLE ALWAYS TRIGGER audit_head_no_delete;
"""

REFUSE_TRUNCATE = """
CREATE TRIGGER audit_event_no_truncate BEFORE TRUNCATE ON audit_auditevent
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_head_no_truncate BEFORE TRUNCATE ON audit_audithead
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
ALTER TABLE audit_auditevent ENABLE ALWAYS TRIGGER audit_event_no_truncate;
ALTER TABLE audit_audithead ENABLE ALWAYS TRIGGER audit_head_no_truncate;
"""

# Transactional tests empty their database by TRUNCATE; tests/conftest.py runs this on the test database.
ALLOW_TRUNCATE = """
DROP TRIGGER IF EXISTS audit_event_no_truncate ON audit_auditevent;
DROP TRIGGER IF EXISTS audit_head_no_truncate ON audit_audithead;
"""

# After the statement, over all its rows at once: one look at the head, then the links among the new rows.
CONTINUE = """
CREATE FUNCTION audit_continue_chain() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    head audit_audithead%ROWTYPE;
    event record;
BEGIN
    SELECT * INTO head FROM audit_audithead WHERE id = 1 FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'The audit trail has lost its head row.' USING ERRCODE = 'insufficient_privilege';
    END IF;
    FOR event IN SELECT sequence, previous_hash, hash FROM added ORDER BY sequence LOOP
        IF event.sequence <> head.sequence + 1 OR event.previous_hash <> head.hash THEN
            RAISE EXCEPTION 'Audit event % does not continue the chain, which ends at %.', event.sequence, head.sequence
                USING ERRCODE = 'insufficient_privilege';
        END IF;
        head.sequence := event.sequence;
        head.hash := event.hash;
    END LOOP;
    UPDATE audit_audithead SET sequence = head.sequence, hash = head.hash WHERE id = 1 AND sequence < head.sequence;
    RETURN NULL;
END
$$;

CREATE TRIGGER audit_event_continues_chain AFTER INSERT ON audit_auditevent
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION audit_continue_chain();
"""

FORWARD = """
CREATE FUNCTION audit_move_forward() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id <> OLD.id OR NEW.sequence <= OLD.sequence
        OR NOT EXISTS (SELECT FROM audit_auditevent WHERE sequence = NEW.sequence AND hash = NEW.hash)
    THEN
        RAISE EXCEPTION 'The head of the audit trail only moves forward, to an event that is there.'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION audit_begin_empty() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.sequence <> 0 OR NEW.hash <> decode(repeat('00', 32), 'hex') OR EXISTS (SELECT FROM audit_auditevent) THEN
        RAISE EXCEPTION 'A head is made once, for an empty trail.' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER audit_head_moves_forward BEFORE UPDATE ON audit_audithead
    FOR EACH ROW EXECUTE FUNCTION audit_move_forward();
CREATE TRIGGER audit_head_begins_empty BEFORE INSERT ON audit_audithead
    FOR EACH ROW EXECUTE FUNCTION audit_begin_empty();
"""

BEGIN = "INSERT INTO audit_audithead (id, sequence, hash) VALUES (1, 0, decode(repeat('00', 32), 'hex'))"

UNDO = """
DROP TRIGGER audit_head_begins_empty ON audit_audithead;
DROP TRIGGER audit_head_moves_forward ON audit_audithead;
DROP TRIGGER audit_event_continues_chain ON audit_auditevent;
DROP TRIGGER IF EXISTS audit_event_no_truncate ON audit_auditevent;
DROP TRIGGER IF EXISTS audit_head_no_truncate ON audit_audithead;
DROP TRIGGER audit_event_no_change ON audit_auditevent;
DROP TRIGGER audit_head_no_delete ON audit_audithead;
DROP FUNCTION audit_refuse(), audit_continue_chain(), audit_move_forward(), audit_begin_empty();
DELETE FROM audit_audithead;
"""


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial")]

    operations = [migrations.RunSQL(REFUSE + REFUSE_TRUNCATE + CONTINUE + FORWARD + BEGIN, UNDO)]
