#!/bin/busybox sh
# The only process of the lab's guest. It reads shell lines from the second serial port and says
# how each ended; the kernel talks to the first one.
/bin/busybox mkdir -p /proc /sys /dev /tmp /sbin /usr/bin /usr/sbin
/bin/busybox --install -s
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev

# Inserts drivers after those they need, each once.
load() {
    local driver
    for driver in "$@"; do
        [ -d "/sys/module/$(echo "$driver" | tr - _)" ] && continue
        load $(sed -n "s/^$driver: //p" /depends) && insmod "/modules/$driver.ko" || return
    done
}

# Waits until a command succeeds, half a minute at most.
until_ok() {
    local tries=300
    until eval "$1"; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || return 1
        sleep 0.1
    done
}

exec </dev/ttyS1 >/dev/ttyS1 2>&1
stty raw -echo
echo @@ready
while IFS= read -r line; do
    eval "$line"
    echo "@@done $?"
done
