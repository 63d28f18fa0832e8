-- database: lares
-- One schema per domain for its own bookkeeping, one per tier for a person's data.

-- up
-- Nothing that lares_owner makes may be called or used by whoever happens to connect. These two must not name a
-- schema: a per-schema REVOKE cannot take away what the global default grants.
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES REVOKE USAGE ON TYPES FROM PUBLIC;

CREATE SCHEMA edge;
CREATE SCHEMA memory;
CREATE SCHEMA agents;
CREATE SCHEMA sensitive;
CREATE SCHEMA convenience;

GRANT USAGE ON SCHEMA edge TO svc_identity, svc_forward_auth;

-- A change and its event are written in one transaction, which runs under the caller's role: the roles that
-- may change something may therefore reach the outbox beside it (INSERT alone, see 0002).
GRANT USAGE ON SCHEMA memory TO svc_memory, lares_app, lares_remote_rw, lares_mcp;
GRANT USAGE ON SCHEMA agents TO svc_orchestrator, lares_app;

GRANT USAGE ON SCHEMA sensitive TO lares_app, lares_remote_rw, lares_readonly;
GRANT USAGE ON SCHEMA convenience TO lares_app, lares_remote_rw, lares_readonly, lares_mcp;

-- down
DROP SCHEMA convenience;
DROP SCHEMA sensitive;
DROP SCHEMA agents;
DROP SCHEMA memory;
DROP SCHEMA edge;
ALTER DEFAULT PRIVILEGES GRANT USAGE ON TYPES TO PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO PUBLIC;
