# Makes the networks of nat.rs and runs the program "$@" outside. Called as: unshare -rmn sh networks.sh PROGRAM…
#
#   outside (where the program runs)        router                               inside (three nodes)
#   192.0.2.7 ───────────── 192.0.2.1:19001…19003 ──> 10.77.0.1…3:9093 ───── 10.77.0.1, 10.77.0.2, 10.77.0.3
#
# Outside has no route to 10.77.0.0/24. All of it belongs to the mount namespace of the program, and ends with its
# processes: the names of the namespaces lie on a /run that no one else sees.
set -eu
PATH=$PATH:/usr/sbin:/sbin
mount -t tmpfs none /run
ip netns add inside
ip netns add router

ip link add out0 type veth peer name out1 netns router
ip -n inside link add in0 type veth peer name in1 netns router
ip addr add 192.0.2.7/24 dev out0
ip -n router addr add 192.0.2.1/24 dev out1
ip -n router addr add 10.77.0.254/24 dev in1
for n in 1 2 3; do ip -n inside addr add "10.77.0.$n/24" dev in0; done

ip link set lo up
ip link set out0 up
ip -n router link set out1 up
ip -n router link set in1 up
ip -n inside link set lo up
ip -n inside link set in0 up
ip -n inside route add default via 10.77.0.254

nsenter --net=/run/netns/router sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward; exec nft -f -' <<'END'
table ip nat {
  chain from_outside {
    type nat hook prerouting priority dstnat; policy accept;
    iifname "out1" tcp dport 19001 dnat to 10.77.0.1:9093
    iifname "out1" tcp dport 19002 dnat to 10.77.0.2:9093
    iifname "out1" tcp dport 19003 dnat to 10.77.0.3:9093
  }
}
END
exec "$@"
