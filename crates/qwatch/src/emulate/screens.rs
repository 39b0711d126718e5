//! Who looks at an emulated machine's screen: VNC and SPICE sessions.

use qmp_events::Event;
use qmp_events::vocabulary::{
    NetworkAddressFamily, SpiceBasicInfo, SpiceChannel, SpiceConnected, SpiceDisconnected,
    SpiceInitialized, SpiceServerInfo, VncBasicInfo, VncClientInfo, VncConnected, VncDisconnected,
    VncInitialized, VncServerInfo,
};

/// The sessions open.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Screens {
    /// VNC clients, logged in or not.
    pub(super) vnc: Vec<Peer>,
    /// SPICE channels.
    pub(super) spice: Vec<Channel>,
}

/// A client's address and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) host: String,
    pub(super) port: String,
}

/// One channel of a SPICE client; all channels of one client have the connection id of its first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Channel {
    pub(super) peer: Peer,
    pub(super) connection: i64,
    pub(super) kind: i64,
}

/// Where the displays listen.
pub(super) const DISPLAY_HOST: &str = "0.0.0.0";
pub(super) const VNC_PORT: &str = "5900";
pub(super) const SPICE_PORT: &str = "5930";

impl Peer {
    /// Splits `192.0.2.10:50212`.
    pub(super) fn new(address: &str) -> Self {
        let (host, port) = address.rsplit_once(':').unwrap_or((address, "0"));
        Self {
            host: host.to_owned(),
            port: port.to_owned(),
        }
    }

    fn family(&self) -> NetworkAddressFamily {
        match self.host.contains(':') {
            true => NetworkAddressFamily::Ipv6,
            false => NetworkAddressFamily::Ipv4,
        }
    }

    fn vnc(&self) -> VncClientInfo<'static> {
        VncClientInfo {
            host: self.host.clone().into(),
            service: self.port.clone().into(),
            family: self.family(),
            websocket: Some(false),
            ..VncClientInfo::default()
        }
    }

    fn spice(&self) -> SpiceBasicInfo<'static> {
        SpiceBasicInfo {
            host: self.host.clone().into(),
            port: self.port.clone().into(),
            family: self.family(),
            ..SpiceBasicInfo::default()
        }
    }
}

impl Screens {
    /// A VNC client connects; it is not known yet who it is.
    pub(super) fn vnc_connect(&mut self, client: &str) -> Vec<Event<'static>> {
        let peer = Peer::new(client);
        let connected = VncConnected {
            server: vnc_server(),
            client: VncBasicInfo {
                host: peer.host.clone().into(),
                service: peer.port.clone().into(),
                family: peer.family(),
                websocket: Some(false),
                ..VncBasicInfo::default()
            },
            ..VncConnected::default()
        };
        self.vnc.push(peer);
        vec![connected.into()]
    }

    /// A VNC client has logged in.
    pub(super) fn vnc_login(&self, client: &str) -> Vec<Event<'static>> {
        let peer = Peer::new(client);
        if !self.vnc.contains(&peer) {
            return Vec::new();
        }
        let initialized = VncInitialized {
            server: vnc_server(),
            client: peer.vnc(),
            ..VncInitialized::default()
        };
        vec![initialized.into()]
    }

    /// A VNC client leaves.
    pub(super) fn vnc_leave(&mut self, client: &str) -> Vec<Event<'static>> {
        let peer = Peer::new(client);
        let Some(index) = self.vnc.iter().position(|known| *known == peer) else {
            return Vec::new();
        };
        self.vnc.remove(index);
        let disconnected = VncDisconnected {
            server: vnc_server(),
            client: peer.vnc(),
            ..VncDisconnected::default()
        };
        vec![disconnected.into()]
    }

    /// A SPICE client opens a channel.
    pub(super) fn spice_connect(&mut self, client: &str, kind: i64) -> Vec<Event<'static>> {
        let peer = Peer::new(client);
        let known = self.spice.iter().find(|channel| channel.peer == peer);
        let newest = self.spice.iter().map(|channel| channel.connection).max();
        let connection = match (known, newest) {
            (Some(channel), _) => channel.connection,
            (None, newest) => newest.unwrap_or(FIRST_CONNECTION) + 1,
        };
        let connected = SpiceConnected {
            server: spice_server(),
            client: peer.spice(),
            ..SpiceConnected::default()
        };
        let initialized = SpiceInitialized {
            server: SpiceServerInfo {
                host: DISPLAY_HOST.into(),
                port: SPICE_PORT.into(),
                family: NetworkAddressFamily::Ipv4,
                auth: Some("spice".into()),
                ..SpiceServerInfo::default()
            },
            client: SpiceChannel {
                host: peer.host.clone().into(),
                port: peer.port.clone().into(),
                family: peer.family(),
                connection_id: connection,
                channel_type: kind,
                ..SpiceChannel::default()
            },
            ..SpiceInitialized::default()
        };
        self.spice.push(Channel {
            peer,
            connection,
            kind,
        });
        vec![connected.into(), initialized.into()]
    }

    /// A SPICE client closes all its channels.
    pub(super) fn spice_leave(&mut self, client: &str) -> Vec<Event<'static>> {
        let peer = Peer::new(client);
        let before = self.spice.len();
        self.spice.retain(|channel| channel.peer != peer);
        let disconnected = SpiceDisconnected {
            server: spice_server(),
            client: peer.spice(),
            ..SpiceDisconnected::default()
        };
        vec![disconnected.into(); before - self.spice.len()]
    }
}

/// SPICE numbers its connections at random from somewhere; ours from here.
const FIRST_CONNECTION: i64 = 1_804_289_382;

fn vnc_server() -> VncServerInfo<'static> {
    VncServerInfo {
        host: DISPLAY_HOST.into(),
        service: VNC_PORT.into(),
        family: NetworkAddressFamily::Ipv4,
        websocket: Some(false),
        auth: Some("vnc".into()),
        ..VncServerInfo::default()
    }
}

fn spice_server() -> SpiceBasicInfo<'static> {
    SpiceBasicInfo {
        host: DISPLAY_HOST.into(),
        port: SPICE_PORT.into(),
        family: NetworkAddressFamily::Ipv4,
        ..SpiceBasicInfo::default()
    }
}
