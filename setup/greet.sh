# Where the house is, and the first owner's link while there is no owner.

port_suffix=
[ "$LARES_HTTPS_PORT" = 443 ] || port_suffix=:$LARES_HTTPS_PORT
address=https://$LARES_HOST$port_suffix

# Asked of the database itself, as its own superuser through its own socket.
owner_exists() {
  compose exec -T postgres psql -h /run/postgresql -U postgres -d lares -Atqc \
    "SELECT EXISTS (SELECT FROM edge.setup_claim)" 2>/dev/null </dev/null
}

say ""
say "Lares is up after $((SECONDS - started_at)) seconds: $address"
case "$(owner_exists || true)" in
  t) say "Sign in with your account." ;;
  f)
    # The one place where a secret is shown: to whoever runs set-up as root, until it is used.
    say "You are the first. This link makes you the owner, once:"
    say "  $address/setup#$(tr -d '\n' <"$LARES_STATE/secrets/identity/setup_token")"
    ;;
  # Not knowing is no reason to show it.
  *) warn "whether there is an owner could not be asked: run make up again for the first owner's link" ;;
esac
if ! getent hosts "$LARES_HOST" >/dev/null 2>&1; then
  say "The name $LARES_HOST does not resolve here. On the machine with the browser, add it to the hosts file with this machine's address:"
  say "  $(ip -o route get 1.1.1.1 2>/dev/null | sed -n 's/.* src \([^ ]*\).*/\1/p' | head -n 1)  $LARES_HOST"
fi
