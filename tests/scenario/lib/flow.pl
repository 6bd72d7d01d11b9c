#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Ends of connections whose bytes are checked. usage:
#   flow.pl serve IP PORT             answers until killed, TCP and UDP; says "listening" first
#   flow.pl bulk IP PORT BYTES        sends so many bytes by TCP and compares digests with the server
#   flow.pl rr IP PORT COUNT BYTES    so many exchanges of so many bytes, one after the other, each compared
#   flow.pl messages IP PORT COUNT    so many UDP messages of 8 bytes, and the server's word how many came unspoilt
#   flow.pl tagged IF VLAN COUNT      so many broadcast frames with that tag, of priority 5
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use IO::Select;
use IO::Socket::INET;
use Socket qw(TCP_NODELAY IPPROTO_TCP);

my ($mode, $ip, $port, $count, $bytes) = @ARGV;
$| = 1;
$SIG{PIPE} = 'IGNORE';

sub connected {
  my $socket = IO::Socket::INET->new(PeerAddr => $ip, PeerPort => $port, Proto => 'tcp', Timeout => 20) or die "$ip: $!\n";
  setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;
  return $socket;
}

sub read_exactly {
  my ($socket, $wanted) = @_;
  my $got = '';
  while (length $got < $wanted) {
    sysread($socket, $got, $wanted - length $got, length $got) or die "the connection ended early\n";
  }
  return $got;
}

# One connection: a word that says what is wanted, then that.
sub serve_one {
  my ($client) = @_;
  my ($what, $count, $bytes) = unpack 'a4 N N', read_exactly($client, 12);
  if ($what eq 'bulk') {
    my ($digest, $part) = (Digest::SHA->new(256));
    for (my $left = $count; $left > 0; $left -= length $part) {
      sysread $client, $part, 1 << 20 or die;
      $digest->add($part);
    }
    syswrite $client, $digest->hexdigest;
  } else {
    syswrite $client, read_exactly($client, $bytes) for 1 .. $count;
  }
}

sub serve {
  my $tcp = IO::Socket::INET->new(LocalAddr => $ip, LocalPort => $port, Listen => 16, ReuseAddr => 1) or die "$ip: $!\n";
  my $udp = IO::Socket::INET->new(LocalAddr => $ip, LocalPort => $port, Proto => 'udp') or die "$ip: $!\n";
  setsockopt $udp, SOL_SOCKET, SO_RCVBUF, pack('l', 8 << 20);
  print "listening\n";
  my $select = IO::Select->new($tcp, $udp);
  my (%good, %last);
  while (my @ready = $select->can_read) {
    for my $socket (@ready) {
      if ($socket == $tcp) {
        my $client = $tcp->accept or next;
        next if fork;
        eval { serve_one($client) };
        exit 0;
      }
      my $from = recv $udp, my $message, 2048, 0;
      if ($message =~ /^count\?/) {
        send $udp, $good{$from} // 0, 0, $from;
      } elsif (length $message == 8) {
        my ($number, $check) = unpack 'N N', $message;
        $good{$from}++ if $check == ($number ^ 0x5a5aa5a5);
      }
    }
  }
}

if ($mode eq 'serve') {
  $SIG{CHLD} = 'IGNORE';
  serve();
} elsif ($mode eq 'bulk') {
  my $socket = connected();
  my $data = join '', map { pack 'N', ($_ * 2654435761) & 0xffffffff } 1 .. (1 << 18);
  $data = substr $data x (1 + $count / length $data), 0, $count;
  syswrite $socket, pack 'a4 N N', 'bulk', $count, 0;
  for (my $at = 0; $at < $count;) {
    my $n = syswrite $socket, $data, $count - $at, $at or die "sending: $!\n";
    $at += $n;
  }
  die "the bytes that came are not those that were sent\n" if read_exactly($socket, 64) ne sha256_hex($data);
} elsif ($mode eq 'rr') {
  my $socket = connected();
  syswrite $socket, pack 'a4 N N', 'rr', $count, $bytes;
  for my $i (1 .. $count) {
    my $question = substr(pack('N', $i) x ($bytes / 4 + 1), 0, $bytes);
    syswrite $socket, $question;
    die "exchange $i came back otherwise\n" if read_exactly($socket, $bytes) ne $question;
  }
} elsif ($mode eq 'messages') {
  my $socket = IO::Socket::INET->new(PeerAddr => $ip, PeerPort => $port, Proto => 'udp') or die "$ip: $!\n";
  my $good = 0;
  for (my $i = 0; $i < $count; $i++) {
    send $socket, pack('N N', $i, $i ^ 0x5a5aa5a5), 0;
    next if ($i + 1) % 256;
    # The server says how far it is: a window, so that no queue has to hold them all.
    send $socket, 'count?', 0;
    IO::Select->new($socket)->can_read(5) or die "no answer after message $i\n";
    recv $socket, $good, 64, 0;
  }
  print "$good of $count\n";
  die "fewer than nine of ten came\n" if $good < 0.9 * $count;
} elsif ($mode eq 'tagged') {
  my ($if, $vlan, $count) = ($ip, $port, $count);
  open my $file, '<', "/sys/class/net/$if/ifindex" or die "$if: $!\n";
  chomp(my $index = <$file>);
  socket my $raw, 17, 3, 0 or die "raw socket: $!\n";
  bind $raw, pack 'S n l S C C a8', 17, 0, $index, 0, 0, 0, '' or die "$if: $!\n";
  my $frame = pack 'H12 H12 n n n', 'ffffffffffff', '020000007777', 0x8100, 5 << 13 | $vlan, 0x88b5;
  syswrite($raw, $frame . "\x5a" x 200) or die "$if: $!\n" for 1 .. $count;
}
