# A role and a database for each service, which no other role may enter. The server's image runs it
# once, when its volume is new; after a service was added, run it yourself:
#   docker compose --file [= folder =]/compose/compose.yml exec postgres bash /docker-entrypoint-initdb.d/roles.sh
set -euo pipefail

for service in [= databases | join(" ") =]; do
  # By its environment: arguments can be read by whoever lists processes.
  service="$service" password="$(cat "${SECRETS:-/run/secrets}/${service}_database_password")" \
    psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
\getenv service service
\getenv password password
SELECT format('CREATE ROLE %I LOGIN', :'service')
  WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'service') \gexec
ALTER ROLE :"service" PASSWORD :'password';
SELECT format('CREATE DATABASE %I OWNER %I', :'service', :'service')
  WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'service') \gexec
REVOKE ALL ON DATABASE :"service" FROM PUBLIC;
SQL
done
