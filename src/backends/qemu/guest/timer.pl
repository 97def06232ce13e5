# A PC's first timer ticks on although a newer one is in use, and the process of an idle machine wakes for it 36 times a
# second. (Later kernels stop it themselves.) It is stopped through its ports, which perl has no word for, so a program of
# thirteen instructions is written and run.
sub stop_old_timer {
  return unless content_of('/sys/devices/system/clockevents/clockevent0/current_device') =~ /^lapic/;
  my $code = pack 'H*', join '',
    # ioperm(0x40, 4, 1)
    'b8ad000000', 'bf40000000', 'be04000000', 'ba01000000', '0f05',
    # Of the 8254's first counter: mode 0, which counts down once, from 0.
    'b030', 'e643', '31c0', 'e640', 'e640',
    # exit(0)
    'b83c000000', '31ff', '0f05';
  # An ELF file of one segment: its header, that of the segment, and the code behind both (elf(5)).
  my ($place, $headers) = (0x400000, 120);
  my $size = $headers + length $code;
  my $elf = pack('a4 C5 x7 S2 L Q3 L S6', "\x7fELF", 2, 1, 1, 0, 0, 2, 62, 1, $place + $headers, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    . pack('L2 Q6', 1, 5, 0, $place, $place, $size, $size, 0x1000) . $code;
  put('/bottle/stop-timer', $elf, 0755);
  system { '/bottle/stop-timer' } 'stop-timer';
}

1;
