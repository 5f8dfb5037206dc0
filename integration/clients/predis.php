<?php
// predis, replication "sentinel". See README.md.

require 'Predis/Autoloader.php';
Predis\Autoloader::register();

$settings = json_decode($argv[1], true);
stream_set_blocking(STDIN, false);

function say(string $event, array $what): void
{
    echo json_encode(['event' => $event] + $what), "\n";
}

function ended(): bool
{
    fread(STDIN, 100);
    return feof(STDIN);
}

say('version', ['version' => Predis\Client::VERSION]);
$tls = $settings['ca'] ? ['scheme' => 'tls', 'ssl' => ['cafile' => $settings['ca']]] : [];
$parameters = array_filter(['username' => $settings['user'], 'password' => $settings['password']]);
$sentinels = array_map(fn ($address) => [
    'host' => $address[0],
    'port' => $address[1],
    'timeout' => 0.5,
    'read_write_timeout' => 0.5,
    'password' => $settings['sentinel_password'],
] + $tls, $settings['sentinels']);
$connect = fn () => new Predis\Client($sentinels, [
    'replication' => 'sentinel',
    'service' => $settings['master'],
    'parameters' => $parameters + ['timeout' => 0.5, 'read_write_timeout' => 0.5] + $tls,
]);
// Once a client has written, it reads from the master, too.
[$writer, $reader] = [$connect(), $connect()];

for ($n = 1; !ended(); $n++) {
    $doing = 'write';
    try {
        $writer->sadd($settings['key'], [$n]);
        say('write', ['n' => $n]);
        if ($n % 10 === 0) {
            $doing = 'read';
            $count = $reader->scard($settings['key']);
            $role = $reader->getConnection()->getCurrent()->executeCommand(Predis\Command\RawCommand::create('ROLE'));
            say('read', ['role' => $role[0], 'count' => $count]);
        }
    } catch (Predis\PredisException $error) {
        say('error', ['while' => $doing, 'error' => $error->getMessage()]);
        // A sentinel that failed once is asked never again; without any left, begin anew, as the next web request would.
        if ($error instanceof Predis\ClientException) {
            [$writer, $reader] = [$connect(), $connect()];
        }
    }
    usleep(20_000);
}
