# What the developers' environment loads from the system and pip cannot bring.

need_packages=()
ldconfig -p | grep -q 'libgomp[.]so[.]1 ' || need_packages+=(libgomp1)
ldconfig -p | grep -q 'libatomic[.]so[.]1 ' || need_packages+=(libatomic1) # Node
have git || need_packages+=(git)
have wrk || need_packages+=(wrk)
if [ ${#need_packages[@]} -gt 0 ]; then apt_install "${need_packages[@]}"; fi
