//! Remote screens: who opened and closed the VNC and SPICE displays.
//!
//! Only a QEMU built with VNC or SPICE sends them.

use crate::Str;

open_enum! {
    /// Kind of a network address.
    NetworkAddressFamily {
        /// IPv4.
        Ipv4 "ipv4";
        /// IPv6.
        Ipv6 "ipv6";
        /// A UNIX domain socket.
        Unix "unix";
        /// Between a host and its guests (AF_VSOCK).
        Vsock "vsock", since 2.8;
        /// None of the above. (Called "unknown" on the wire.)
        Unspecified "unknown";
    }
}

object! {
    /// Address of one end of a SPICE connection.
    SpiceBasicInfo<'a> {
        /// Address; "localhost" for a UNIX socket.
        host "host": Str<'a>;
        /// Port number as text. For a UNIX socket: its path at the server's end, "" at the
        /// client's.
        port "port": Str<'a>;
        /// Kind of address.
        family "family": NetworkAddressFamily;
    }
}

object! {
    /// The server's end of a SPICE connection.
    SpiceServerInfo<'a> {
        /// Address; "localhost" for a UNIX socket.
        host "host": Str<'a>;
        /// Port number as text, or path of the UNIX socket.
        port "port": Str<'a>;
        /// Kind of address.
        family "family": NetworkAddressFamily;
        /// How clients prove who they are: `none`, `spice` (password) or `sasl`.
        auth "auth": Str<'a>, optional;
    }
}

object! {
    /// One channel of a SPICE session, with the client's address.
    SpiceChannel<'a> {
        /// Address; "localhost" for a UNIX socket.
        host "host": Str<'a>;
        /// Port number as text; "" for a UNIX socket.
        port "port": Str<'a>;
        /// Kind of address.
        family "family": NetworkAddressFamily;
        /// Session the channel belongs to: the same for all channels of one viewer. A random number
        /// of 32 bits that may show as negative.
        connection_id "connection-id": i64;
        /// What the channel carries: 1 main, 2 display, 3 inputs, 4 cursor, 5 playback, 6 record,
        /// and so on. Count the 1s to count viewers.
        channel_type "channel-type": i64;
        /// Tells channels of one type apart, such as several displays; else 0.
        channel_id "channel-id": i64;
        /// True if the channel is encrypted.
        tls "tls": bool;
    }
}

object! {
    /// The client's end of a VNC connection, before it proved who it is.
    VncBasicInfo<'a> {
        /// Address; "" for a UNIX socket.
        host "host": Str<'a>;
        /// Port number as text; "" for a UNIX socket.
        service "service": Str<'a>;
        /// Kind of address.
        family "family": NetworkAddressFamily;
        /// True if the client came by WebSocket, as browsers do.
        websocket "websocket": bool, since 2.3;
    }
}

object! {
    /// The server's end of a VNC connection.
    VncServerInfo<'a> {
        /// Address; "" for a UNIX socket.
        host "host": Str<'a>;
        /// Port number as text, or path of the UNIX socket.
        service "service": Str<'a>;
        /// Kind of address.
        family "family": NetworkAddressFamily;
        /// False even if the client came by WebSocket: look at the client's.
        websocket "websocket": bool, since 2.3;
        /// How clients prove who they are: `none`, `vnc` (password), `sasl`,
        /// `vencrypt+x509+none`, ...
        auth "auth": Str<'a>, optional;
    }
}

object! {
    /// The client's end of a VNC connection, with the names it proved.
    VncClientInfo<'a> {
        /// Address; "" for a UNIX socket.
        host "host": Str<'a>;
        /// Port number as text; "" for a UNIX socket.
        service "service": Str<'a>;
        /// Kind of address.
        family "family": NetworkAddressFamily;
        /// True if the client came by WebSocket, as browsers do.
        websocket "websocket": bool, since 2.3;
        /// Distinguished name in the client's TLS certificate, if it showed one.
        x509_dname "x509_dname": Str<'a>, optional;
        /// User name, if it logged in by SASL.
        sasl_username "sasl_username": Str<'a>, optional;
    }
}

event! {
    /// A SPICE client connected one channel, and has proved nothing yet.
    ///
    /// One event per channel, not per viewer: a viewer opens six or more. SPICE_INITIALIZED follows
    /// if the client may enter, SPICE_DISCONNECTED if not; a bare TCP connect gives these two as
    /// well.
    SPICE_CONNECTED, since 0.14,
        seed "Omits the families `unix` and `unknown`; `vsock` came with 2.8.";
    SpiceConnected<'a> {
        /// The server's end.
        server "server": SpiceBasicInfo<'a>;
        /// The client's end.
        client "client": SpiceBasicInfo<'a>;
    }
}

event! {
    /// A channel of a SPICE client is open: the client proved who it is.
    ///
    /// One event per channel; look at those with `channel-type` 1 to follow viewers.
    SPICE_INITIALIZED, since 0.14,
        seed "Omits the families `unix` and `unknown`; `vsock` came with 2.8.";
    SpiceInitialized<'a> {
        /// The server's end.
        server "server": SpiceServerInfo<'a>;
        /// The client's end, and the channel.
        client "client": SpiceChannel<'a>;
    }
}

event! {
    /// A channel of a SPICE client was closed.
    ///
    /// Does not say which channel: match the client's `host` and `port` with SPICE_INITIALIZED.
    SPICE_DISCONNECTED, since 0.14,
        seed "Omits the families `unix` and `unknown`; `vsock` came with 2.8.";
    SpiceDisconnected<'a> {
        /// The server's end.
        server "server": SpiceBasicInfo<'a>;
        /// The client's end.
        client "client": SpiceBasicInfo<'a>;
    }
}

event! {
    /// The SPICE viewers have followed a migration to the destination.
    ///
    /// Sent by the source, after MIGRATION `completed`, and only if `client_migrate_info` told the
    /// viewers where to go (then also when nobody is watching). The source should not be ended
    /// before.
    SPICE_MIGRATE_COMPLETED, since 1.3, seed "";
    SpiceMigrateCompleted {}
}

event! {
    /// A VNC client connected, and has proved nothing yet.
    ///
    /// VNC_INITIALIZED follows if the client may enter, VNC_DISCONNECTED if not. Many of these
    /// without the former: somebody scans or guesses.
    VNC_CONNECTED, since 0.13,
        seed "Omits `websocket`, sent since 2.3, and the families `unix` and `unknown`; `vsock` \
            came with 2.8.";
    VncConnected<'a> {
        /// The server's end.
        server "server": VncServerInfo<'a>;
        /// The client's end.
        client "client": VncBasicInfo<'a>;
    }
}

event! {
    /// A VNC client proved who it is, as far as asked, and sees the screen.
    ///
    /// From here the client can type. If it asked for the display alone, VNC_DISCONNECTED of those
    /// it displaced comes after this.
    VNC_INITIALIZED, since 0.13,
        seed "Omits `websocket`, sent since 2.3, and the families `unix` and `unknown`; `vsock` \
            came with 2.8.";
    VncInitialized<'a> {
        /// The server's end.
        server "server": VncServerInfo<'a>;
        /// The client's end.
        client "client": VncClientInfo<'a>;
    }
}

event! {
    /// A VNC client is gone, or was refused.
    ///
    /// Match `client.host` and `client.service` with the events before to know who.
    VNC_DISCONNECTED, since 0.13,
        seed "Omits `websocket`, sent since 2.3, and the families `unix` and `unknown`; `vsock` \
            came with 2.8.";
    VncDisconnected<'a> {
        /// The server's end.
        server "server": VncServerInfo<'a>;
        /// The client's end.
        client "client": VncClientInfo<'a>;
    }
}
