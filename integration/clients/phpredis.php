<?php
// phpredis: RedisSentinel asks, the application connects, as its documentation shows. See README.md.

$settings = json_decode($argv[1], true);
stream_set_blocking(STDIN, false);
if ($settings['ca']) {
    // RedisSentinel takes no TLS options before version 6: PHP's own authorities must be the right ones.
    putenv('SSL_CERT_FILE=' . $settings['ca']);
}

function say(string $event, array $what): void
{
    echo json_encode(['event' => $event] + $what), "\n";
}

function ended(): bool
{
    fread(STDIN, 100);
    return feof(STDIN);
}

/** What `$ask` gets from the first sentinel that answers. */
function ask(array $settings, callable $ask)
{
    // Not null: this version would send AUTH even then.
    $auth = [];
    if ($settings['sentinel_password'] !== null) {
        $auth[] = $settings['sentinel_user'] === null
            ? $settings['sentinel_password']
            : [$settings['sentinel_user'], $settings['sentinel_password']];
    }
    $host = fn (string $host) => ($settings['ca'] ? 'tls://' : '') . $host;
    foreach ($settings['sentinels'] as [$address, $port]) {
        try {
            $answer = $ask(new RedisSentinel($host($address), $port, 0.5, null, 0, 0.5, ...$auth));
            if ($answer) {
                return $answer;
            }
        } catch (RedisException $error) {
            say('error', ['while' => "ask $port", 'error' => $error->getMessage()]);
        }
    }
    throw new RedisException('no sentinel knows an address');
}

function connect(array $settings, string $host, int $port): Redis
{
    $redis = new Redis();
    $tls = ['stream' => ['cafile' => $settings['ca']]];
    $settings['ca']
        ? $redis->connect("tls://$host", $port, 0.5, null, 0, 0.5, $tls)
        : $redis->connect($host, $port, 0.5, null, 0, 0.5);
    if ($settings['password'] !== null) {
        $redis->auth($settings['user'] === null ? $settings['password'] : [$settings['user'], $settings['password']]);
    }
    return $redis;
}

function master(array $settings): Redis
{
    [$host, $port] = ask($settings, fn ($sentinel) => $sentinel->getMasterAddrByName($settings['master']));
    return connect($settings, $host, (int) $port);
}

function replica(array $settings): Redis
{
    $replicas = ask($settings, fn ($sentinel) => $sentinel->slaves($settings['master']));
    $usable = array_filter($replicas, fn ($replica) => $replica['flags'] === 'slave');
    if (!$usable) {
        throw new RedisException('no usable replica');
    }
    $replica = $usable[array_rand($usable)];
    return connect($settings, $replica['ip'], (int) $replica['port']);
}

say('version', ['version' => phpversion('redis')]);
[$master, $replica] = [null, null];
for ($n = 1; !ended(); $n++) {
    $doing = 'write';
    try {
        $master ??= master($settings);
        // An error reply (READONLY) is no exception here.
        if ($master->sAdd($settings['key'], (string) $n) === false) {
            throw new RedisException((string) $master->getLastError());
        }
        say('write', ['n' => $n]);
        if ($n % 10 === 0) {
            $doing = 'read';
            $replica ??= replica($settings);
            $count = $replica->sCard($settings['key']);
            $role = $replica->rawCommand('ROLE')[0];
            say('read', ['role' => $role, 'count' => $count]);
            // The library connects to the same address again by itself: whether that is a replica still is up to us.
            $role === 'slave' || $replica = null;
        }
    } catch (RedisException $error) {
        $doing === 'write' ? $master = null : $replica = null;
        say('error', ['while' => $doing, 'error' => $error->getMessage()]);
    }
    usleep(20_000);
}
