# The authority that GPU nodes and the house know one another by, and the house's two certificates for it. Sourced by secrets.sh.
# The authority's key is for gpu-scheduler alone: it signs the nodes. Whoever calls a node has a role in its certificate.

authority_days=7300
client_days=730
# A house that is brought up once a year never meets a certificate that has ended.
client_renew_seconds=$((365 * 86400))

# Only what is said here: the system's own openssl.cnf would add extensions of its own.
openssl_alone() { OPENSSL_CONF=/dev/null openssl "$@"; }
new_key() { openssl_alone genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256; }

# belongs CERTIFICATE KEY: whether the certificate is for this key.
belongs() {
  [ -s "$1" ] && [ "$(openssl_alone x509 -in "$1" -noout -pubkey 2>/dev/null)" = "$(openssl_alone pkey -in "$2" -pubout 2>/dev/null)" ]
}

once gpu-scheduler node_authority_key new_key
authority_key=$secrets_dir/gpu-scheduler/node_authority_key
authority=$secrets_dir/gpu-scheduler/node_authority

if ! belongs "$authority" "$authority_key"; then
  openssl_alone req -x509 -new -key "$authority_key" -sha256 -days "$authority_days" -set_serial "0x$(openssl rand -hex 16)" \
    -subj "/CN=Lares GPU nodes" -config <(printf '%s\n' '[req]' 'distinguished_name=dn' 'x509_extensions=ca' '[dn]' '[ca]' \
      'basicConstraints=critical,CA:TRUE,pathlen:0' 'keyUsage=critical,keyCertSign,cRLSign' 'subjectKeyIdentifier=hash') \
    | put gpu-scheduler node_authority
fi

# client_certificate SERVICE ROLE: its key is made once, its certificate whenever it is missing, foreign or half over.
client_certificate() {
  local service=$1 role=$2 key=$secrets_dir/$1/node_client_key certificate=$secrets_dir/$1/node_client_certificate
  once "$service" node_client_key new_key
  if belongs "$certificate" "$key" && openssl_alone verify -CAfile "$authority" "$certificate" >/dev/null 2>&1 \
    && openssl_alone x509 -in "$certificate" -noout -checkend "$client_renew_seconds" >/dev/null; then return 0; fi
  openssl_alone req -new -key "$key" -subj "/CN=$service" -config <(printf '%s\n' '[req]' 'distinguished_name=dn' '[dn]') \
    | openssl_alone x509 -req -sha256 -days "$client_days" -set_serial "0x$(openssl rand -hex 16)" -CA "$authority" -CAkey "$authority_key" \
      -extfile <(printf '%s\n' 'basicConstraints=critical,CA:FALSE' 'keyUsage=critical,digitalSignature' 'extendedKeyUsage=clientAuth' \
        "subjectAltName=URI:lares:role:$role" 'subjectKeyIdentifier=hash' 'authorityKeyIdentifier=keyid') 2>/dev/null \
    | put "$service" node_client_certificate
}

client_certificate gpu-scheduler scheduler
client_certificate model-gateway gateway
same model-gateway node_authority gpu-scheduler node_authority

# A file secret is mounted by what it was at the start: a renewed one makes new containers, by way of LARES_CONFIG.
install -d -m 0755 "$LARES_STATE/rendered"
cat "$authority" "$secrets_dir"/{gpu-scheduler,model-gateway}/node_client_certificate | sha256sum >"$LARES_STATE/rendered/node-certificates"
