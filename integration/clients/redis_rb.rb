# ruby's redis. See README.md.

require "json"
require "openssl"
require "redis"

SETTINGS = JSON.parse(ARGV[0])
$stdout.sync = true

def say(event, what)
  puts JSON.generate({ event: event }.merge(what))
end

Thread.new { $stdin.read; exit!(0) }

def connect(role)
  sentinels = SETTINGS["sentinels"].map do |host, port|
    { host: host, port: port, username: SETTINGS["sentinel_user"], password: SETTINGS["sentinel_password"] }.compact
  end
  tls = SETTINGS["ca"] ? { ssl: true, ssl_params: { ca_file: SETTINGS["ca"] } } : {}
  Redis.new(
    host: SETTINGS["master"], sentinels: sentinels, role: role, timeout: 0.5,
    username: SETTINGS["user"], password: SETTINGS["password"], **tls
  )
end

say("version", version: Redis::VERSION)
master = connect(:master)
replica = connect(:slave)
n = 0
loop do
  n += 1
  doing = "write"
  begin
    master.sadd(SETTINGS["key"], [n])
    say("write", n: n)
    if (n % 10).zero?
      doing = "read"
      count = replica.scard(SETTINGS["key"])
      say("read", role: replica.call(["ROLE"])[0], count: count)
    end
  rescue Redis::BaseError, SystemCallError, OpenSSL::SSL::SSLError => e
    # A connection that is reset in the middle of the TLS handshake is told as the system's error, not as the library's.
    say("error", while: doing, error: e.message)
    # An error reply (READONLY) leaves the connection open: the documentation asks applications to reconnect.
    (doing == "write" ? master : replica).close unless e.is_a?(Redis::BaseConnectionError)
  end
  sleep 0.02
end
