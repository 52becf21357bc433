#!/bin/busybox sh
# What the tiny guest does with an answer to DHCP: its address, its routes, also those of option 121.
[ "$1" = bound ] || [ "$1" = renew ] || exit 0
ip addr flush dev "$interface"
ip addr add "$ip/${mask:-24}" dev "$interface"
[ -n "$mtu" ] && ip link set "$interface" mtu "$mtu"
set -- $staticroutes
while [ $# -ge 2 ]; do
    if [ "$2" = 0.0.0.0 ]; then ip route replace "$1" dev "$interface"
    else ip route replace "$1" via "$2" dev "$interface" onlink; fi
    shift 2
done
for each in $router; do ip route replace default via "$each" dev "$interface"; break; done
exit 0
