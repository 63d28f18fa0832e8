# The engine, the firewall and the owners of secret files need root.

[ "$(id -u)" -eq 0 ] || fail setup.not_root "set-up needs root, and this is $(id -un)" "run: sudo make up"
