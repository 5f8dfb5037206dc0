# Perl's Redis. See ../README.md.

use strict;
use warnings;
use JSON::PP;
use Redis;
use Time::HiRes qw(usleep);

my $settings = decode_json($ARGV[0]);
$| = 1;

sub tell_of {
    my ($event, %what) = @_;
    print encode_json({ event => $event, %what }), "\n";
}

sub access {
    my ($prefix, $user, $password) = @_;
    return ($user ? ("${prefix}username" => $user) : (), $password ? ("${prefix}password" => $password) : ());
}

sub connect_to_master {
    return Redis->new(
        sentinels => [ map { "$_->[0]:$_->[1]" } @{ $settings->{sentinels} } ],
        service   => $settings->{master},
        reconnect => 1, every => 50_000,
        cnx_timeout => 0.5, read_timeout => 0.5, write_timeout => 0.5,
        access('sentinels_', $settings->{sentinel_user}, $settings->{sentinel_password}),
        access('',           $settings->{user},          $settings->{password}),
    );
}

my $worker = $$;
if (!fork()) {
    1 while <STDIN>;
    kill 'TERM', $worker;
    exit 0;
}

tell_of('version', version => "$Redis::VERSION");
my $redis;
for (my $n = 1; ; $n++) {
    eval {
        $redis //= connect_to_master();
        $redis->sadd($settings->{key}, $n);
        tell_of('write', n => $n);
        if ($n % 10 == 0) {
            tell_of('read', role => $redis->role->[0], count => $redis->scard($settings->{key}) + 0);
        }
        1;
    } or do {
        tell_of('error', while => 'write', error => "$@");
        $redis = undef;
    };
    usleep(20_000);
}
