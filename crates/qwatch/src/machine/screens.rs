//! Who looks at the machine's screen: VNC and SPICE.

use qmp_events::vocabulary::{SpiceChannel, VncClientInfo};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fact::Mark;
use super::queries::{items, text, truth};
use super::run::push_bounded;
use super::text::{clipped, named};
use crate::limits::{STATE_CHANNELS_MAX, STATE_PAST_SESSIONS_MAX, STATE_SESSIONS_MAX};

/// By which way somebody looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScreenKind {
    /// VNC; a session is a connection.
    #[default]
    Vnc,
    /// SPICE; a session is a main channel, the other channels belong to it.
    Spice,
}

/// Somebody at the screen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// VNC or SPICE.
    pub kind: ScreenKind,
    /// Address of the client; "" for a UNIX socket.
    pub host: String,
    /// Port of the client; "" for a UNIX socket.
    pub port: String,
    /// How clients prove who they are there: `none`, `vnc`, `sasl`, ...; `None` if it was not told.
    pub auth: Option<String>,
    /// Name in the client's certificate.
    pub x509: Option<String>,
    /// Name of the user by SASL.
    pub user: Option<String>,
    /// By WebSocket, as browsers do (VNC).
    pub websocket: bool,
    /// Encrypted (SPICE).
    pub tls: bool,
    /// It connected (VNC), or its main channel opened (SPICE).
    pub opened: Mark,
    /// It proved who it is. Before that it sees nothing.
    pub entered: Option<Mark>,
    /// It left.
    pub closed: Option<Mark>,
    /// SPICE's number of the session.
    pub connection: Option<i64>,
}

impl Session {
    /// How long it was or has been there, in microseconds.
    pub fn length_us(&self, now_us: i64) -> i64 {
        let end = self.closed.as_ref().map_or(now_us, |mark| mark.time_us);
        end.saturating_sub(self.opened.time_us).max(0)
    }

    fn is_at(&self, kind: ScreenKind, host: &str, port: &str) -> bool {
        self.kind == kind && self.host == host && self.port == port
    }
}

/// The sessions of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Screens {
    pub(super) open: Vec<Session>,
    /// Those that ended last.
    pub(super) past: Vec<Session>,
    /// Open channels of SPICE that are not the main one: address, port, session.
    channels: Vec<(String, String, i64)>,
}

/// SPICE's number for the main channel.
const MAIN_CHANNEL: i64 = 1;

impl Screens {
    pub(super) fn vnc_connected(
        &mut self,
        host: &str,
        port: &str,
        auth: Option<&str>,
        mark: &Mark,
    ) {
        self.add(Session {
            kind: ScreenKind::Vnc,
            host: clipped(host),
            port: clipped(port),
            auth: auth.map(clipped),
            opened: mark.clone(),
            ..Session::default()
        });
    }

    pub(super) fn vnc_initialized(
        &mut self,
        client: &VncClientInfo<'_>,
        auth: Option<&str>,
        mark: &Mark,
    ) {
        let session = self.vnc(&client.host, &client.service, mark);
        session.entered = Some(mark.clone());
        session.auth = auth.map(clipped).or(session.auth.take());
        session.websocket = client.websocket.unwrap_or(false);
        session.x509 = client.x509_dname.as_deref().and_then(named);
        session.user = client.sasl_username.as_deref().and_then(named);
    }

    pub(super) fn vnc_disconnected(&mut self, host: &str, port: &str, mark: &Mark) {
        self.close(ScreenKind::Vnc, host, port, mark);
    }

    pub(super) fn spice_initialized(
        &mut self,
        client: &SpiceChannel<'_>,
        auth: Option<&str>,
        mark: &Mark,
    ) {
        if client.channel_type != MAIN_CHANNEL {
            let channel = (
                clipped(&client.host),
                clipped(&client.port),
                client.connection_id,
            );
            push_bounded(&mut self.channels, channel, STATE_CHANNELS_MAX);
            return;
        }
        self.add(Session {
            kind: ScreenKind::Spice,
            host: clipped(&client.host),
            port: clipped(&client.port),
            auth: auth.map(clipped),
            tls: client.tls,
            opened: mark.clone(),
            entered: Some(mark.clone()),
            connection: Some(client.connection_id),
            ..Session::default()
        });
    }

    /// Channels are told apart by the client's port alone; that of a channel ends nothing else.
    pub(super) fn spice_disconnected(&mut self, host: &str, port: &str, mark: &Mark) {
        let side = self
            .channels
            .iter()
            .position(|(h, p, _)| h == host && p == port);
        let main = self
            .open
            .iter()
            .any(|s| s.is_at(ScreenKind::Spice, host, port));
        match (main, side) {
            // Over a UNIX socket all look alike: the main channel is closed first.
            (true, _) => self.close(ScreenKind::Spice, host, port, mark),
            (false, Some(at)) => {
                self.channels.remove(at);
            }
            (false, None) => {}
        }
    }

    /// What `query-vnc` and `query-spice` said; who is not listed has left.
    pub(super) fn found(&mut self, data: &Value, mark: &Mark) {
        if let Some(clients) = data
            .get("query-vnc")
            .filter(|vnc| !vnc["error"].is_string())
        {
            let clients = clients.get("clients").map(items).into_iter().flatten();
            let listed: Vec<Session> = clients
                .take(STATE_SESSIONS_MAX)
                .map(|client| Session {
                    websocket: truth(client, "websocket").unwrap_or(false),
                    x509: text(client, "x509_dname").map(clipped),
                    user: text(client, "sasl_username").map(clipped),
                    ..listed_session(ScreenKind::Vnc, client, "service", mark)
                })
                .collect();
            self.replace(ScreenKind::Vnc, listed, mark);
        }
        if let Some(spice) = data
            .get("query-spice")
            .filter(|spice| !spice["error"].is_string())
        {
            let channels = spice.get("channels").map(items).into_iter().flatten();
            let mains = channels.filter(|c| c["channel-type"].as_i64() == Some(MAIN_CHANNEL));
            let listed: Vec<Session> = mains
                .take(STATE_SESSIONS_MAX)
                .map(|client| Session {
                    tls: truth(client, "tls").unwrap_or(false),
                    auth: text(spice, "auth").map(clipped),
                    connection: client["connection-id"].as_i64(),
                    ..listed_session(ScreenKind::Spice, client, "port", mark)
                })
                .collect();
            self.replace(ScreenKind::Spice, listed, mark);
        }
    }

    fn replace(&mut self, kind: ScreenKind, listed: Vec<Session>, mark: &Mark) {
        let mut listed = listed;
        let mut gone = Vec::new();
        self.open.retain(|own| {
            if own.kind != kind {
                return true;
            }
            let there = listed
                .iter()
                .position(|s| s.is_at(kind, &own.host, &own.port));
            match there {
                Some(at) => drop(listed.swap_remove(at)),
                None => gone.push(own.clone()),
            }
            there.is_some()
        });
        for mut session in gone {
            session.closed = Some(mark.clone());
            push_bounded(&mut self.past, session, STATE_PAST_SESSIONS_MAX);
        }
        for session in listed {
            self.add(session);
        }
    }

    fn add(&mut self, session: Session) {
        push_bounded(&mut self.open, session, STATE_SESSIONS_MAX);
    }

    /// The connection from there that has not entered yet, else any; made up if its beginning was missed.
    fn vnc(&mut self, host: &str, port: &str, mark: &Mark) -> &mut Session {
        let at = |s: &Session| s.is_at(ScreenKind::Vnc, host, port);
        let waiting = self.open.iter().position(|s| at(s) && s.entered.is_none());
        let place = waiting.or_else(|| self.open.iter().position(at));
        let place = place.unwrap_or_else(|| {
            self.vnc_connected(host, port, None, mark);
            self.open.len() - 1
        });
        &mut self.open[place]
    }

    fn close(&mut self, kind: ScreenKind, host: &str, port: &str, mark: &Mark) {
        if let Some(at) = self.open.iter().position(|s| s.is_at(kind, host, port)) {
            let mut session = self.open.remove(at);
            session.closed = Some(mark.clone());
            push_bounded(&mut self.past, session, STATE_PAST_SESSIONS_MAX);
        }
    }
}

fn listed_session(kind: ScreenKind, client: &Value, port: &str, mark: &Mark) -> Session {
    let of = |member| text(client, member).map(clipped).unwrap_or_default();
    Session {
        kind,
        host: of("host"),
        port: of(port),
        opened: mark.clone(),
        entered: Some(mark.clone()),
        ..Session::default()
    }
}
