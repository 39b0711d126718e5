//! Network: connections of stream and vhost-user back ends, filters of the guest's cards, failover.

use crate::Str;

object! {
    /// An address of the Internet Protocol.
    InetSocketAddress<'a> {
        /// Host name or address.
        host "host": Str<'a>;
        /// Port number or service name: text, not a number.
        port "port": Str<'a>;
        /// True if host and port are numeric and nothing needs to be resolved.
        numeric "numeric": bool, optional;
        /// Highest port to try, when a range was given to listen on.
        to "to": u16, optional;
        /// Whether IPv4 may be used.
        ipv4 "ipv4": bool, optional;
        /// Whether IPv6 may be used.
        ipv6 "ipv6": bool, optional;
        /// Whether TCP keep-alive is on.
        keep_alive "keep-alive": bool, optional;
        /// Keep-alive: unanswered probes before the connection counts as dead.
        keep_alive_count "keep-alive-count": u32, optional, since 10.1;
        /// Keep-alive: seconds of silence before the first probe.
        keep_alive_idle "keep-alive-idle": u32, optional, since 10.1;
        /// Keep-alive: seconds between probes.
        keep_alive_interval "keep-alive-interval": u32, optional, since 10.1;
        /// Whether Multipath TCP is on.
        mptcp "mptcp": bool, optional;
    }
}

object! {
    /// The address of a UNIX domain socket.
    UnixSocketAddress<'a> {
        /// Path in the file system, or name in the abstract namespace.
        path "path": Str<'a>;
        /// True if `path` is a name in the abstract namespace of Linux.
        r#abstract "abstract": bool, optional;
        /// Abstract names: true if the name ends with its text and is not padded with zeros.
        tight "tight": bool, optional;
    }
}

object! {
    /// An address between a host and its guests (AF_VSOCK).
    VsockSocketAddress<'a> {
        /// Context id of the machine: a number as text.
        cid "cid": Str<'a>;
        /// Port number as text.
        port "port": Str<'a>;
    }
}

object! {
    /// A socket that QEMU was handed ready-made.
    FdSocketAddress<'a> {
        /// Name under which the descriptor was passed, or its number as text.
        str "str": Str<'a>;
    }
}

union! {
    /// The address of a socket.
    SocketAddress<'a> by "type" {
        /// An address of the Internet Protocol.
        Inet "inet": InetSocketAddress<'a>;
        /// A UNIX domain socket.
        Unix "unix": UnixSocketAddress<'a>;
        /// An address between a host and its guests.
        Vsock "vsock": VsockSocketAddress<'a>;
        /// A socket that was handed over as a file descriptor.
        Fd "fd": FdSocketAddress<'a>;
    }
}

event! {
    /// A stream network back end (`-netdev stream`) is connected.
    ///
    /// As the server: a peer came. As the client: the connection stands, for the first time or
    /// again. No query tells this state later.
    NETDEV_STREAM_CONNECTED, since 7.2;
    NetdevStreamConnected<'a> {
        /// Id of the back end.
        netdev_id "netdev-id": Str<'a>;
        /// Address of the peer; for a UNIX socket the path it is bound to on the listening side.
        addr "addr": SocketAddress<'a>;
    }
}

event! {
    /// A stream network back end (`-netdev stream`) lost its connection.
    ///
    /// Packets of the guest go nowhere until NETDEV_STREAM_CONNECTED; a client tries again only if
    /// it was given `reconnect-ms` (`reconnect` before 9.2).
    NETDEV_STREAM_DISCONNECTED, since 7.2;
    NetdevStreamDisconnected<'a> {
        /// Id of the back end.
        netdev_id "netdev-id": Str<'a>;
    }
}

event! {
    /// A vhost-user network back end is connected to the process that does its work.
    ///
    /// That process (a software switch, most often) has answered, so the guest's link can come up.
    NETDEV_VHOST_USER_CONNECTED, since 10.0;
    NetdevVhostUserConnected<'a> {
        /// Id of the back end.
        netdev_id "netdev-id": Str<'a>;
        /// Id of the character device that carries the connection.
        chardev_id "chardev-id": Str<'a>;
    }
}

event! {
    /// A vhost-user network back end lost the process that does its work.
    ///
    /// The guest sees its link go down until NETDEV_VHOST_USER_CONNECTED.
    NETDEV_VHOST_USER_DISCONNECTED, since 10.0;
    NetdevVhostUserDisconnected<'a> {
        /// Id of the back end.
        netdev_id "netdev-id": Str<'a>;
    }
}

event! {
    /// The guest changed what its network card receives: MAC address, promiscuous mode, VLANs,
    /// groups.
    ///
    /// Sent once per card; then QEMU stays silent until somebody reads the filter with
    /// `query-rx-filter`, which re-arms the event for every client. A mere observer must not do
    /// that. Only virtio-net sends it.
    NIC_RX_FILTER_CHANGED, since 1.6,
        seed "Does not say that `name` is optional.",
        latched "query-rx-filter";
    NicRxFilterChanged<'a> {
        /// Id of the network card; absent if it has none.
        name "name": Str<'a>, optional;
        /// QOM path of the network card; for virtio it ends in `/virtio-backend`.
        path "path": Str<'a>;
    }
}

event! {
    /// The guest's driver agreed to failover: a virtio-net card stands by for a passed-through one.
    ///
    /// QEMU plugs in the passed-through primary card now. Without this event the guest never sees
    /// that card.
    FAILOVER_NEGOTIATED, since 4.2;
    FailoverNegotiated<'a> {
        /// Id of the virtio-net card that stands by.
        device_id "device-id": Str<'a>;
    }
}

event! {
    /// QEMU asked the guest to let go of the primary card of a failover pair, to migrate without
    /// it.
    ///
    /// The migration waits in status `wait-unplug` until the guest obeys; DEVICE_DELETED does not
    /// come, as the card is only hidden.
    UNPLUG_PRIMARY, since 4.2;
    UnplugPrimary<'a> {
        /// Id of the primary (passed-through) card.
        device_id "device-id": Str<'a>;
    }
}

event! {
    /// An address of a paravirtual RDMA device was added to or removed from its host's table.
    ///
    /// For the resource manager on the host, which had to make the change. Gone in 9.1 together
    /// with the `pvrdma` device.
    RDMA_GID_STATUS_CHANGED, since 4.0, removed 9.1;
    RdmaGidStatusChanged<'a> {
        /// Name of the network device on the host.
        netdev "netdev": Str<'a>;
        /// True if the address was added, false if it was removed.
        gid_status "gid-status": bool;
        /// Upper 64 bits of the address: the subnet.
        subnet_prefix "subnet-prefix": u64;
        /// Lower 64 bits of the address: the interface.
        interface_id "interface-id": u64;
    }
}
