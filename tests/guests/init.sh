#!/bin/busybox sh
# The first process of the tiny guest. What it says begins with GUEST; then it leaves a shell on the serial line.
/bin/busybox --install -s /bin
export PATH=/bin HOME=/ TERM=dumb
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
mkdir -p /run /dev/pts /mnt /config; mount -t tmpfs tmpfs /run; mount -t devpts devpts /dev/pts
say() { echo "GUEST $*"; }
up() { cut -d' ' -f1 /proc/uptime; }
echo 0 >/proc/sys/kernel/printk
for module in $(cat /modules/order); do insmod /modules/$module; done 2>/dev/null
say kernel "$(uname -r)" product "$(cat /sys/class/dmi/id/product_name)" up "$(up)"
# the device whose serial begins with the first word: guests know disks by nothing else
cat >/bin/disk <<'DISK'
#!/bin/sh
for each in /sys/block/vd* /sys/block/sd*; do
    [ "$(cat "$each/serial" 2>/dev/null)" = "$(echo "$1" | cut -c1-20)" ] && echo "/dev/${each##*/}" && exit 0
done
exit 1
DISK
cat >/bin/fetch <<'FETCH'
#!/bin/sh
exec timeout 20 wget -q -O - "http://169.254.169.254$1"
FETCH
chmod +x /bin/disk /bin/fetch
# a button that is pressed turns the guest off
button() { head -c 1 "$1" >/dev/null 2>&1 && sync && poweroff -f; }
for each in /dev/input/event*; do button "$each" & done
ip link set lo up
if [ -e /sys/class/net/eth0 ]; then
    ip link set eth0 up
    if udhcpc -s /udhcpc.sh -O staticroutes -O mtu -i eth0 -n -q -t 20 -T 1 >/run/udhcpc.log 2>&1; then
        say address "$(ip -4 -o addr show eth0 | awk '{print $4}')"
        fetch /openstack/latest/user_data >/run/user-data 2>/dev/null
    else
        say address none
    fi
fi
label() { dd if="$1" bs=1 skip=32808 count=8 2>/dev/null | tr -d '\000'; }
for each in /sys/block/vd*; do
    device=/dev/${each##*/}
    if [ "$(label $device)" = config-2 ] && mount -t iso9660 -o ro $device /config; then
        say config "$device"
        [ -s /run/user-data ] || cp /config/openstack/latest/user_data /run/user-data 2>/dev/null
    fi
done
if head -c 2 /run/user-data 2>/dev/null | grep -q '#!'; then
    chmod +x /run/user-data; /run/user-data
fi
say ready "$(up)"
while :; do setsid cttyhack sh -l || sleep 1; done
