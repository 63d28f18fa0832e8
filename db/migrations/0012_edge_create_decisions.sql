-- database: lares
-- What forward-auth may know, and how it learns at once that it no longer holds.

-- up
-- one row per live session of an active person: no key, no password, no session data
CREATE VIEW edge.session_decision AS
    SELECT s.session_key, s.aal, s.auth_time, s.expire_date, p.id AS subject, p.username, p.role
    FROM edge.session s
    JOIN edge.person p ON p.id = s.person_id
    WHERE p.is_active;
GRANT SELECT ON edge.session_decision TO svc_forward_auth;

CREATE VIEW edge.token_decision AS
    SELECT t.id, t.secret_hash, t.scopes, t.tiers, t.created_at, t.expires_at, t.last_used_at, p.id AS subject, p.username, p.role
    FROM edge.access_token t
    JOIN edge.person p ON p.id = t.person_id
    WHERE p.is_active AND t.revoked_at IS NULL;
GRANT SELECT ON edge.token_decision TO svc_forward_auth;
GRANT SELECT (id), UPDATE (last_used_at) ON edge.access_token TO svc_forward_auth;
-- refusals at the door are accounted for by whoever refuses
GRANT INSERT ON edge.audit_event TO svc_forward_auth;

-- Told by the database itself, so that no way of ending a session can forget to say so. Hashes and ids only.
CREATE FUNCTION edge.tell_session() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('lares_session', json_build_object('session', OLD.session_key)::text);
    RETURN NULL;
END $$;
CREATE TRIGGER session_ended AFTER DELETE ON edge.session
    FOR EACH ROW WHEN (OLD.person_id IS NOT NULL) EXECUTE FUNCTION edge.tell_session();
CREATE TRIGGER session_changed AFTER UPDATE ON edge.session
    FOR EACH ROW WHEN (OLD.person_id IS DISTINCT FROM NEW.person_id OR OLD.aal IS DISTINCT FROM NEW.aal)
    EXECUTE FUNCTION edge.tell_session();

CREATE FUNCTION edge.tell_person() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('lares_session', json_build_object('person', OLD.id)::text);
    RETURN NULL;
END $$;
CREATE TRIGGER person_changed AFTER UPDATE OF is_active, role, username, password ON edge.person
    FOR EACH ROW EXECUTE FUNCTION edge.tell_person();

CREATE FUNCTION edge.tell_token() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('lares_session', json_build_object('token', OLD.id)::text);
    RETURN NULL;
END $$;
CREATE TRIGGER token_changed AFTER UPDATE OF revoked_at, scopes, tiers, expires_at ON edge.access_token
    FOR EACH ROW EXECUTE FUNCTION edge.tell_token();

-- down
DROP TRIGGER token_changed ON edge.access_token;
DROP FUNCTION edge.tell_token();
DROP TRIGGER person_changed ON edge.person;
DROP FUNCTION edge.tell_person();
DROP TRIGGER session_changed ON edge.session;
DROP TRIGGER session_ended ON edge.session;
DROP FUNCTION edge.tell_session();
REVOKE INSERT ON edge.audit_event FROM svc_forward_auth;
REVOKE SELECT (id), UPDATE (last_used_at) ON edge.access_token FROM svc_forward_auth;
DROP VIEW edge.token_decision;
DROP VIEW edge.session_decision;
