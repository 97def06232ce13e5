# Joins a session keyring of its own, puts a secret into it, and becomes the program in its arguments:
# what an operator's login session is like. Arguments: number of keyctl, of add_key, the secret's name, the program...
use strict;
my ($keyctl, $add_key, $name) = splice @ARGV, 0, 3;
my ($ring, $type, $secret) = ("bot-bottle-test", "user", "operator's ticket");
syscall($keyctl + 0, 1, $ring) >= 0 or die "cannot join a keyring: $!";
syscall($add_key + 0, $type, $name, $secret, length $secret, -3) >= 0 or die "cannot add a key: $!";
exec { $ARGV[0] } @ARGV or die "$ARGV[0]: $!";
