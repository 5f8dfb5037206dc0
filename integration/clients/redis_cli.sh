#!/usr/bin/env bash
# redis-cli (hiredis), as shell scripts use it: ask a sentinel for the address, then talk to it. See README.md.
set -uo pipefail

# The settings, one a line, empty for null. Sentinels as host:port.
mapfile -t settings < <(python3 - "$1" <<'PY'
import json, sys
s = json.loads(sys.argv[1])
print(" ".join(f"{host}:{port}" for host, port in s["sentinels"]))
for name in ("master", "key", "sentinel_user", "sentinel_password", "user", "password", "ca"):
    print(s[name] or "")
PY
)
read -ra sentinels <<<"${settings[0]}"
master=${settings[1]} key=${settings[2]} sentinel_user=${settings[3]} sentinel_password=${settings[4]}
user=${settings[5]} password=${settings[6]} ca=${settings[7]}

say() { printf '%s\n' "$1"; }

# cli USER PASSWORD HOST:PORT WORD...
cli() {
    local args=(-h "${3%:*}" -p "${3##*:}" -e)
    [ -n "$1" ] && args+=(--user "$1")
    [ -n "$2" ] && args+=(--pass "$2" --no-auth-warning)
    [ -n "$ca" ] && args+=(--tls --cacert "$ca")
    timeout 1 redis-cli "${args[@]}" "${@:4}" 2>&1 </dev/null
}

# The first answer of a sentinel to a subcommand about the master.
ask() {
    local sentinel answer
    for sentinel in "${sentinels[@]}"; do
        answer=$(cli "$sentinel_user" "$sentinel_password" "$sentinel" SENTINEL "$1" "$master") || continue
        [ -n "$answer" ] && { say "$answer"; return 0; }
    done
    return 1
}

master_address() { ask get-master-addr-by-name | paste -sd: -; }

# The first replica that is not down.
replica_address() {
    ask replicas | awk '
        previous == "ip" { ip = $0 }
        previous == "port" { port = $0 }
        previous == "flags" && $0 == "slave" { print ip ":" port; exit }
        { previous = $0 }'
}

fail() { say "{\"event\": \"error\", \"while\": \"$1\", \"error\": \"redis-cli: $2\"}"; }

# Ends with its standard input.
exec 3<&0
(cat <&3 >/dev/null; kill $$ 2>/dev/null) &

say "{\"event\": \"version\", \"version\": \"$(redis-cli --version | cut -d' ' -f2)\"}"
n=0 at="" from=""
while :; do
    n=$((n + 1))
    [ -n "$at" ] || at=$(master_address)
    if [ -n "$at" ] && answer=$(cli "$user" "$password" "$at" SADD "$key" "$n"); then
        say "{\"event\": \"write\", \"n\": $n}"
    else
        fail write "${at:-no address}"
        at=""
    fi
    if [ $((n % 10)) -eq 0 ]; then
        [ -n "$from" ] || from=$(replica_address)
        if [ -n "$from" ] && count=$(cli "$user" "$password" "$from" SCARD "$key") \
            && role=$(cli "$user" "$password" "$from" ROLE | head -1); then
            say "{\"event\": \"read\", \"role\": \"$role\", \"count\": $count}"
            # The replica may be the next master.
            [ "$role" = slave ] || from=""
        else
            fail read "${from:-no address}"
            from=""
        fi
    fi
    sleep 0.02
done
