# A database for each service, a role that owns and migrates it, and one that serves and that no
# other database lets in. The server's image runs it once, when its volume is new; after a service
# was added, run it yourself, as what was made by an older version:
#   docker compose --file [= folder =]/compose/compose.yml exec postgres bash /docker-entrypoint-initdb.d/roles.sh
set -euo pipefail

run() {
  psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" "$@"
}

for service in [= databases | join(" ") =]; do
  for role in "$service" "${service}_owner"; do
    role="$role" run --dbname postgres <<'SQL'
\getenv role role
SELECT format('CREATE ROLE %I', :'role')
  WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec
-- Whoever comes shows a certificate; older versions gave passwords.
ALTER ROLE :"role" LOGIN PASSWORD NULL;
SQL
  done
  service="$service" run --dbname postgres <<'SQL'
\getenv service service
SELECT format('CREATE DATABASE %I OWNER %I', :'service', :'service' || '_owner')
  WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'service') \gexec
REVOKE ALL ON DATABASE :"service" FROM PUBLIC;
SQL
  service="$service" run --dbname "$service" <<'SQL'
\getenv service service
SELECT format('REASSIGN OWNED BY %I TO %I', :'service', :'service' || '_owner') \gexec
GRANT CONNECT ON DATABASE :"service" TO :"service";
SQL
done
