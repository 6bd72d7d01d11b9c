# SPDX-License-Identifier: BSD-2-Clause
# What scenario tests need to know about capture files, with nothing but perl:
#   make FILE             packets of every length from 60 to 1514 bytes in steps of 2, of four protocols
#   gather OUT MOST IN..  whole Ethernet packets of 14 to 1514 bytes from other captures
#   head OUT COUNT IN     the first packets of a capture
#   whole OUT IN          a capture as it is, in the form that the others are in
#   pace OUT US IN        a capture with its packets spread evenly over so many microseconds
#   learned OUT IN        those that a learning switch delivers when one port sends them all
#   data FILE             the packets without times: length, then bytes, to compare with cmp
#   count FILE            packets and bytes
#   size FILE             bytes of the file with so many packets when tcpdump writes it
#   span FILE             microseconds from the first packet to the last
#   ordered FILE          fails unless times never go back and are of this century
# Files are classic pcap of either byte order with microseconds or nanoseconds; anything else is skipped by gather.
use strict;
use warnings;

use constant { SNAPLEN => 262144, ETHERNET => 1, MOST_BYTES => 1514 };

sub read_packets {
  my ($path) = @_;
  open(my $file, '<:raw', $path) or die "$path: $!\n";
  my $got = read($file, my $head, 24);
  my ($magic) = unpack('V', $head) if $got == 24;
  die "$path: not a pcap file\n" unless defined $magic;
  my %forms = (0xa1b2c3d4 => ['V', 1], 0xd4c3b2a1 => ['N', 1], 0xa1b23c4d => ['V', 1000], 0x4d3cb2a1 => ['N', 1000]);
  my ($word, $divisor) = @{$forms{$magic} or die "$path: not a pcap file\n"};
  my (undef, undef, undef, undef, $link) = unpack("x4 ($word)5", $head);
  my @packets;
  while (($got = read($file, my $record, 16)) == 16) {
    my ($seconds, $fraction, $stored, $whole) = unpack("($word)4", $record);
    die "$path: a packet of $stored bytes\n" if $stored > SNAPLEN;
    die "$path: ends within a packet\n" unless read($file, my $bytes, $stored) == $stored;
    push @packets, {us => $seconds * 1_000_000 + int($fraction / $divisor), bytes => $bytes, whole => $whole};
  }
  die "$path: ends within a header\n" if $got;
  return {link => $link & 0xffff, packets => \@packets};
}

sub write_packets {
  my ($path, @packets) = @_;
  open(my $file, '>:raw', $path) or die "$path: $!\n";
  print $file pack('V v v V V V V', 0xa1b2c3d4, 2, 4, 0, 0, SNAPLEN, ETHERNET);
  for my $p (@packets) {
    my $length = length $p->{bytes};
    print $file pack('V4', int($p->{us} / 1_000_000), $p->{us} % 1_000_000, $length, $length), $p->{bytes};
  }
  close($file) or die "$path: $!\n";
}

sub checksum {
  my ($bytes) = @_;
  my $sum = 0;
  $sum += $_ for unpack('n*', $bytes . "\0" x (length($bytes) % 2));
  $sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16;
  return ~$sum & 0xffff;
}

sub ipv4 {
  my ($protocol, $number, $payload) = @_;
  my @fields = (0x45, 0, 20 + length $payload, $number, 0, 64, $protocol, 0, 10, 0, 0, 1, 10, 1, 0, 1);
  my $form = 'C C n n n C C n C8';
  $fields[7] = checksum(pack($form, @fields));
  return pack('n', 0x0800) . pack($form, @fields) . $payload;
}

# Packet `number` with `bytes` bytes. From one address to another that nobody has, so that a switch floods it.
sub known_packet {
  my ($number, $bytes) = @_;
  my $fill = join '', map { chr(($number * 7 + $_ * 13) & 0xff) } 1 .. $bytes;
  my $kind = $number % 4;
  my $body;
  if ($kind == 0) {
    $body = ipv4(17, $number, pack('n4', 1000 + $number, 53, $bytes - 34, 0) . substr($fill, 0, $bytes - 42));
  } elsif ($kind == 1) {
    $body = ipv4(6, $number, pack('n n N N C C n n n', 2000 + $number, 80, $number, 0, 0x50, 0x02, 8192, 0, 0)
      . substr($fill, 0, $bytes - 54));
  } elsif ($kind == 2) {
    $body = ipv4(1, $number, pack('C C n n n', 8, 0, 0, 7, $number) . substr($fill, 0, $bytes - 42));
  } else {
    $body = pack('n n n C C n', 0x0806, 1, 0x0800, 6, 4, 1) . substr($fill, 0, $bytes - 22);
  }
  return pack('H12 H12', '02000000000b', '02000000000a') . $body;
}

sub is_multicast { return ord(substr($_[0], 0, 1)) & 1 }

my %commands = (
  make => sub {
    my ($path) = @_;
    my $number = 0;
    my @packets;
    for (my $bytes = 60; $bytes <= MOST_BYTES; $bytes += 2) {
      push @packets, {us => 1_000_000_000_000_000 + 1000 * $number, bytes => known_packet($number, $bytes)};
      $number++;
    }
    write_packets($path, @packets);
  },
  gather => sub {
    my ($path, $most, @inputs) = @_;
    my @found;
    for my $input (@inputs) {
      my $capture = eval { read_packets($input) } or next;
      next if $capture->{link} != ETHERNET;
      push @found, grep { length $_->{bytes} == $_->{whole} && $_->{whole} >= 14 && $_->{whole} <= MOST_BYTES }
        @{$capture->{packets}};
      last if @found >= $most;
    }
    die "no whole Ethernet packets found\n" unless @found;
    $#found = $most - 1 if @found > $most;
    # One clock for all: the files are years apart.
    $found[$_]{us} = 1_000_000_000_000_000 + 1000 * $_ for 0 .. $#found;
    write_packets($path, @found);
  },
  head => sub {
    my ($path, $count, $input) = @_;
    my @packets = @{read_packets($input)->{packets}};
    $#packets = $count - 1 if @packets > $count;
    write_packets($path, @packets);
  },
  whole => sub {
    my ($path, $input) = @_;
    my $capture = read_packets($input);
    die "$input: not of Ethernet\n" if $capture->{link} != ETHERNET;
    write_packets($path, @{$capture->{packets}});
  },
  pace => sub {
    my ($path, $us, $input) = @_;
    my @packets = @{read_packets($input)->{packets}};
    $packets[$_]{us} = 1_000_000_000_000_000 + int($us * $_ / $#packets) for 0 .. $#packets;
    write_packets($path, @packets);
  },
  learned => sub {
    my ($path, $input) = @_;
    my %here;
    write_packets($path, grep {
      my ($to, $from) = unpack('a6 a6', $_->{bytes});
      $here{$from} = 1 unless is_multicast($from);
      is_multicast($to) || !$here{$to};
    } @{read_packets($input)->{packets}});
  },
  data => sub {
    binmode STDOUT;
    print pack('V2', length $_->{bytes}, $_->{whole}), $_->{bytes} for @{read_packets($_[0])->{packets}};
  },
  count => sub {
    my ($packets, $bytes) = (0, 0);
    $packets++, $bytes += length $_->{bytes} for @{read_packets($_[0])->{packets}};
    print "$packets $bytes\n";
  },
  size => sub {
    my $size = 24;
    $size += 16 + length $_->{bytes} for @{read_packets($_[0])->{packets}};
    print "$size\n";
  },
  span => sub {
    my @packets = @{read_packets($_[0])->{packets}};
    print $packets[-1]{us} - $packets[0]{us}, "\n";
  },
  ordered => sub {
    my $last = 946_684_800_000_000;
    for my $p (@{read_packets($_[0])->{packets}}) {
      die "$_[0]: a time stamp of $p->{us} us after one of $last us\n" if $p->{us} < $last;
      $last = $p->{us};
    }
  },
);

my $command = $commands{shift @ARGV // ''} or die 'usage: pcap.pl ', join('|', sort keys %commands), " FILE...\n";
$command->(@ARGV);
