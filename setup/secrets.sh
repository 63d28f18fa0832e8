# Make each secret once. A file that exists is never touched, so a second run changes nothing.
# Each is 0600 and belongs to the user of its one container: Compose ignores uid and mode of a file secret.

secrets_dir=$LARES_STATE/secrets

# A service says its user in its service.yaml; what is not a service of ours has it here.
secret_owner() {
  case $1 in
    postgres) echo 10020 ;;
    valkey) echo 10021 ;;
    memory-worker | consolidator) secret_owner memory ;;
    *)
      local uid
      uid=$(sed -n 's/^uid: *\([0-9][0-9]*\)$/\1/p' "$LARES_ROOT/services/$1/service.yaml" 2>/dev/null | head -n 1 || true)
      [ -n "$uid" ] || fail setup.secret "no user is known for the service $1" "say its uid in services/$1/service.yaml"
      echo "$uid"
      ;;
  esac
}

# put SERVICE NAME: keep stdin as a secret. Written beside and renamed, so no half secret ever lies there.
put() {
  local service=$1 name=$2 uid file
  uid=$(secret_owner "$service") || exit 1
  file=$secrets_dir/$service/$name
  install -d -m 0700 -o "$uid" -g "$uid" "$secrets_dir/$service"
  ( umask 077; cat >"$file.new" )
  chown "$uid:$uid" "$file.new"
  mv "$file.new" "$file"
}

missing() { [ ! -s "$secrets_dir/$1/$2" ]; }
password() { openssl rand -hex 24 | tr -d '\n'; }

# once SERVICE NAME COMMAND...: make it if it is missing.
once() {
  local service=$1 name=$2; shift 2
  if missing "$service" "$name"; then "$@" | put "$service" "$name"; fi
}

# same SERVICE NAME FROM_SERVICE FROM_NAME: the copy of a secret that two containers need. Always made equal.
same() {
  if ! cmp -s "$secrets_dir/$3/$4" "$secrets_dir/$1/$2"; then put "$1" "$2" <"$secrets_dir/$3/$4"; fi
}

install -d -m 0711 "$LARES_STATE" "$secrets_dir"

# Postgres: the superuser for the two that need it, a login per service, a copy of each for migrate to set.
once postgres superuser_password password
same migrate superuser_password postgres superuser_password
once migrate db_password_svc_migrate password
for service in identity forward-auth memory orchestrator model-gateway gpu-scheduler; do
  once "$service" db_password password
  same migrate "db_password_svc_${service//-/_}" "$service" db_password
done
same memory-worker db_password memory db_password
same consolidator db_password memory db_password

# Valkey: a user per service; the server keeps hashes alone.
for service in memory memory-worker orchestrator dashboard state-registry gpu-scheduler; do
  once "$service" valkey_password password
done
once valkey health_password password

render_valkey_users() {
  local line service file hash
  while IFS= read -r line; do
    if [[ $line =~ @SHA256:([a-z_]+)@ ]]; then
      service=${BASH_REMATCH[1]//_/-}
      file=$secrets_dir/$service/valkey_password
      [ "$service" != health ] || file=$secrets_dir/valkey/health_password
      [ -s "$file" ] || fail setup.valkey_user "the template names the user $service, who has no password" "add it to setup/secrets.sh"
      hash=$(sha256sum <"$file")
      line=${line//@SHA256:${BASH_REMATCH[1]}@/${hash%% *}}
    fi
    printf '%s\n' "$line"
  done <"$LARES_ROOT/db/valkey/users.acl.template" | grep -v '^#' | grep -v '^$'
}
render_valkey_users >"$LARES_TMP/users.acl"
if ! cmp -s "$LARES_TMP/users.acl" "$secrets_dir/valkey/users.acl"; then put valkey users.acl <"$LARES_TMP/users.acl"; fi
rm -f "$LARES_TMP/users.acl"

# The caller's token: one signs, the others can only verify.
once forward-auth caller_signing_key openssl genpkey -algorithm ed25519
for service in identity dashboard mcp-gateway memory orchestrator state-registry model-gateway gpu-scheduler; do
  if missing "$service" caller_public_key; then
    openssl pkey -in "$secrets_dir/forward-auth/caller_signing_key" -pubout | put "$service" caller_public_key
  fi
done

# Keys of model servers outside the house, put there by `make model-key`.
install -d -m 0700 -o 10040 -g 10040 "$secrets_dir/model-gateway"

once identity django_secret_key openssl rand -base64 48
once identity setup_token password

# Without this key the sacred database cannot be read again: back it up with the data.
once memory sacred_data_key openssl rand -base64 32
same memory-worker sacred_data_key memory sacred_data_key

# The authority of the link to the GPU nodes, and the certificates by which they know the house.
source "$LARES_ROOT/setup/node-authority.sh"
