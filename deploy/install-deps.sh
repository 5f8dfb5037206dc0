#!/usr/bin/env bash
# Installs what is missing from the system's packages, and says how where it cannot.
#
#   deploy/install-deps.sh build      a C linker, without which Rust builds nothing  (all)
#   deploy/install-deps.sh server     redis-server                                   (demo, cluster, test)
#   deploy/install-deps.sh sentinel   redis-sentinel, to compare replies with        (test)
#   deploy/install-deps.sh openssl    openssl, to issue certificates                 (test, soak)
#   deploy/install-deps.sh bench      redis-sentinel and redis-benchmark             (bench)
#   deploy/install-deps.sh clients    python3 with venv, node with npm, php with phpredis and predis, ruby with redis,
#                                     redis-cli                                     (test, soak)
#
# What is there already is left alone. Missing client runtimes that cannot be installed are not an error: their
# tests say that they were skipped.
set -euo pipefail

say() { printf 'install-deps: %s\n' "$*" >&2; }

have() { command -v "$1" >/dev/null 2>&1; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif have sudo; then
        sudo -- "$@"
    else
        say "neither root nor sudo: cannot run: $*"
        return 1
    fi
}

# quietly COMMAND: shows the end of what it prints, and only if it fails
quietly() {
    local output status=0
    output=$("$@" 2>&1) || status=$?
    [ "$status" -eq 0 ] || tail -n 4 <<<"$output" >&2
    return "$status"
}

apt_updated=no

apt_install() {
    if [ "$apt_updated" = no ]; then
        quietly as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq || true
        apt_updated=yes
    fi
    quietly as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@"
}

# install APT DNF APK BREW: each a list of package names in one word
install() {
    local apt=$1 dnf=$2 apk=$3 brew=$4
    # Word splitting is wanted: each is a list of package names.
    # shellcheck disable=SC2086
    if have apt-get; then
        apt_install $apt
    elif have dnf; then
        quietly as_root dnf install -y $dnf
    elif have apk; then
        quietly as_root apk add $apk
    elif have brew; then
        quietly brew install $brew
    else
        say "no apt-get, dnf, apk or brew here"
        return 1
    fi
}

need_build() {
    if ! have "${CARGO:-cargo}"; then
        say "${CARGO:-cargo} is not in PATH. Install Rust (1.85 or newer): https://rustup.rs"
        return 1
    fi
    have cc && return 0
    say "a C linker (cc) is missing, installing it"
    install "gcc libc6-dev" gcc "gcc musl-dev" gcc || true
    have cc && return 0
    # Not an error yet: Cargo may be told to use another one.
    say "a C linker could not be installed. Install it by hand, unless Cargo is configured to use another one:"
    say "  Debian/Ubuntu: apt-get install gcc libc6-dev     Fedora: dnf install gcc"
    say "  Alpine: apk add gcc musl-dev     macOS: xcode-select --install"
}

need_server() {
    have "${REDIS_SERVER:-redis-server}" && return 0
    if [ -n "${REDIS_SERVER:-}" ]; then
        say "REDIS_SERVER=$REDIS_SERVER is not a program"
        return 1
    fi
    say "redis-server is missing, installing it"
    install redis-server redis redis redis || true
    have redis-server && return 0
    say "redis-server could not be installed. Install it by hand and make sure it is in PATH:"
    say "  Debian/Ubuntu: apt-get install redis-server     Fedora: dnf install redis"
    say "  Alpine: apk add redis    macOS: brew install redis    else: https://redis.io/docs/latest/operate/oss_and_stack/install/"
    say "or name another one: REDIS_SERVER=/path/to/valkey-server make test"
    return 1
}

need_sentinel() {
    have redis-sentinel && return 0
    say "redis-sentinel is missing, installing it"
    install redis-sentinel redis redis redis || true
    have redis-sentinel || say "redis-sentinel could not be installed: the tests that compare with it, or take over from it, will be skipped"
}

need_openssl() {
    have openssl && return 0
    say "openssl is missing, installing it"
    install openssl openssl openssl openssl || true
    have openssl || say "openssl could not be installed: the tests of certificates that it issues will be skipped"
}

need_bench() {
    have redis-sentinel && have redis-benchmark && return 0
    say "redis-sentinel or redis-benchmark is missing, installing them"
    install "redis-sentinel redis-tools" redis redis redis || true
    have redis-sentinel && have redis-benchmark && return 0
    say "redis-sentinel and redis-benchmark could not be installed; the benchmark compares with them."
    say "  Debian/Ubuntu: apt-get install redis-sentinel redis-tools     Fedora: dnf install redis"
    return 1
}

python_works() {
    have python3 && python3 -c 'import venv, ensurepip' >/dev/null 2>&1
}

php_works() {
    have php && php -r "exit(class_exists('RedisSentinel') ? 0 : 1);" >/dev/null 2>&1 &&
        php -r "require 'Predis/Autoloader.php';" >/dev/null 2>&1
}

ruby_works() {
    have ruby && ruby -e "require 'redis'" >/dev/null 2>&1
}

need_clients() {
    if ! python_works; then
        say "python3 with venv is missing, installing it"
        install "python3 python3-venv" python3 "python3 py3-pip" python3 || true
        python_works || say "python3 with venv could not be installed: redis-py and valkey-py will be skipped"
    fi
    if ! { have node && have npm; }; then
        say "node with npm is missing, installing it"
        install "nodejs npm" "nodejs npm" "nodejs npm" node || true
        { have node && have npm; } || say "node with npm could not be installed: ioredis, iovalkey and node-redis will be skipped"
    fi
    if ! php_works; then
        say "php with phpredis and predis is missing, installing it"
        install "php-cli php-redis php-nrk-predis" "php-cli php-pecl-redis" "php php-pecl-redis" php || true
        php_works || say "php with both could not be installed: phpredis or predis will be skipped"
    fi
    if ! ruby_works; then
        say "ruby with redis is missing, installing it"
        install "ruby ruby-redis" "ruby rubygem-redis" ruby ruby || true
        ruby_works || say "ruby with redis could not be installed: redis-rb will be skipped"
    fi
    if ! have redis-cli; then
        say "redis-cli is missing, installing it"
        install redis-tools redis redis redis || say "redis-cli could not be installed: it will be skipped"
    fi
}

if [ $# -eq 0 ]; then
    set -- server
fi
for what in "$@"; do
    case "$what" in
        build) need_build ;;
        server) need_server ;;
        sentinel) need_sentinel ;;
        openssl) need_openssl ;;
        bench) need_bench ;;
        clients) need_clients ;;
        *)
            say "unknown: $what (build, server, sentinel, openssl, bench or clients)"
            exit 2
            ;;
    esac
done
