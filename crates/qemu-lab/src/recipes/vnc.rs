//! Somebody looks at the machine's VNC console, in every way there is.

use std::{
    io,
    net::{Ipv6Addr, TcpListener},
    path::Path,
};

use serde_json::json;

use super::Recipe;
use crate::{
    LabError, Machine,
    guest::{
        sasl::{self, Sasl},
        stream::{self, Stream},
        tls,
        vnc::{self, Security, Viewer, WebSocket},
    },
};

const OPEN: &[&str] = &["-vnc", "unix:vnc.sock"];
const WITH_PASSWORD: &[&str] = &["-vnc", "unix:vnc.sock,password=on"];
/// Only viewers with a certificate of the lab's authority are let in.
const WITH_TLS: &[&str] = &[
    "-object",
    "tls-creds-x509,id=tls0,dir=.,endpoint=server,verify-peer=on",
    "-vnc",
    "127.0.0.1:0,to=99,tls-creds=tls0",
];

pub(super) const RECIPES: &[Recipe] = &[
    Recipe::new(
        "VNC_INITIALIZED",
        OPEN,
        |machine| {
            let stream = connect_unix(machine)?;
            let viewer = vnc::handshake(stream, Security::Nobody)?;
            initialized(machine, viewer)
        },
        &[
            "VNC_CONNECTED server.family=unix client.family=unix",
            "VNC_INITIALIZED server.auth=none",
            "VNC_DISCONNECTED server.auth=none",
        ],
    ),
    Recipe::new(
        "VNC_INITIALIZED.tcp",
        &["-vnc", "127.0.0.1:0,to=99"],
        |machine| {
            let stream = connect_tcp(machine)?;
            let viewer = vnc::handshake(stream, Security::Nobody)?;
            initialized(machine, viewer)
        },
        &[
            "VNC_CONNECTED server.family=ipv4 server.host=127.0.0.1 server.websocket=false \
             client.family=ipv4",
            "VNC_INITIALIZED server.auth=none client.host=127.0.0.1 client.websocket=false",
            "VNC_DISCONNECTED",
        ],
    ),
    Recipe::new(
        "VNC_INITIALIZED.tcp6",
        &["-vnc", "[::1]:0,to=99"],
        |machine| {
            let stream = stream::tcp6(console_port(machine, false)?)?;
            machine.event("VNC_CONNECTED")?;
            let viewer = vnc::handshake(stream, Security::Nobody)?;
            initialized(machine, viewer)
        },
        &[
            "VNC_CONNECTED server.family=ipv6 server.host=::1 client.family=ipv6 client.host=::1",
            "VNC_INITIALIZED server.auth=none client.family=ipv6",
            "VNC_DISCONNECTED client.family=ipv6",
        ],
    )
    .host(without_ipv6),
    // The server's own end is told as if there were no websocket.
    Recipe::new(
        "VNC_INITIALIZED.websocket",
        &["-vnc", "127.0.0.1:0,to=99,websocket=on"],
        |machine| {
            let stream = stream::tcp(console_port(machine, true)?)?;
            machine.event("VNC_CONNECTED")?;
            let stream = WebSocket::upgrade(stream)?;
            let viewer = vnc::handshake(stream, Security::Nobody)?;
            initialized(machine, viewer)
        },
        &[
            "VNC_CONNECTED server.websocket=false client.websocket=true",
            "VNC_INITIALIZED client.websocket=true",
            "VNC_DISCONNECTED client.websocket=true",
        ],
    ),
    Recipe::new(
        "VNC_INITIALIZED.password",
        WITH_PASSWORD,
        |machine| {
            let viewer = visit_with_password(machine, "sesame")?;
            initialized(machine, viewer)
        },
        &[
            "VNC_CONNECTED server.auth=vnc",
            "VNC_INITIALIZED server.auth=vnc",
            "VNC_DISCONNECTED",
        ],
    ),
    Recipe::new(
        "VNC_DISCONNECTED.password",
        WITH_PASSWORD,
        |machine| refused(&visit_with_password(machine, "open")?),
        &["VNC_CONNECTED", "VNC_DISCONNECTED server.auth=vnc"],
    ),
    // A viewer that hangs up at once was never initialized.
    Recipe::new(
        "VNC_DISCONNECTED",
        OPEN,
        |machine| connect_unix(machine).map(drop),
        &["VNC_CONNECTED", "VNC_DISCONNECTED"],
    ),
    Recipe::new(
        "VNC_INITIALIZED.tls",
        WITH_TLS,
        |machine| {
            let viewer = visit_in_tls(machine, Security::Nobody)?;
            initialized(machine, viewer)
        },
        &[
            "VNC_CONNECTED server.auth=vencrypt+x509+none",
            "VNC_INITIALIZED client.x509_dname=O=Lab,CN=client",
            "VNC_DISCONNECTED client.x509_dname=O=Lab,CN=client",
        ],
    )
    .files(tls::write_certificates),
    Recipe::new(
        "VNC_INITIALIZED.tls-password",
        &[
            "-object",
            "tls-creds-x509,id=tls0,dir=.,endpoint=server,verify-peer=on",
            "-vnc",
            "127.0.0.1:0,to=99,tls-creds=tls0,password=on",
        ],
        |machine| {
            set_password(machine)?;
            let viewer = visit_in_tls(machine, Security::Password("sesame"))?;
            initialized(machine, viewer)
        },
        &[
            "VNC_INITIALIZED server.auth=vencrypt+x509+vnc client.x509_dname=O=Lab,CN=client",
            "VNC_DISCONNECTED",
        ],
    )
    .files(tls::write_certificates),
    // Inside of TLS there is nothing of VNC's own but what the browser needs.
    Recipe::new(
        "VNC_INITIALIZED.tls-websocket",
        &[
            "-object",
            "tls-creds-x509,id=tls0,dir=.,endpoint=server,verify-peer=off",
            "-vnc",
            "127.0.0.1:0,to=99,websocket=on,tls-creds=tls0",
        ],
        |machine| {
            let stream = stream::tcp(console_port(machine, true)?)?;
            machine.event("VNC_CONNECTED")?;
            let stream = tls::wrap(stream, machine.folder())?;
            let stream = WebSocket::upgrade(stream)?;
            let viewer = vnc::handshake(stream, Security::Nobody)?;
            initialized(machine, viewer)
        },
        &[
            "VNC_CONNECTED client.websocket=true",
            "VNC_INITIALIZED client.websocket=true",
            "VNC_DISCONNECTED",
        ],
    )
    .files(tls::write_certificates),
    Recipe::new(
        "VNC_INITIALIZED.tls-sasl",
        &[
            "-object",
            "tls-creds-x509,id=tls0,dir=.,endpoint=server,verify-peer=on",
            "-vnc",
            "127.0.0.1:0,to=99,tls-creds=tls0,sasl=on",
        ],
        |machine| {
            sasl::add_user(machine)?;
            let viewer = visit_in_tls(machine, Security::Sasl(Sasl::Plain))?;
            initialized(machine, viewer)
        },
        &[
            "VNC_INITIALIZED server.auth=vencrypt+x509+sasl \
             client.x509_dname=O=Lab,CN=client client.sasl_username=luiz",
            "VNC_DISCONNECTED client.sasl_username=luiz",
        ],
    )
    .files(certificates_and_sasl),
    // QEMU 7.2 cannot say where it is to SASL if that is a socket in the file system.
    Recipe::new(
        "VNC_INITIALIZED.sasl",
        &["-vnc", "unix:vnc.sock,sasl=on"],
        |machine| {
            sasl::add_user(machine)?;
            let stream = connect_unix(machine)?;
            let viewer = vnc::handshake(stream, Security::Sasl(Sasl::Plain))?;
            initialized(machine, viewer)
        },
        &[
            "VNC_CONNECTED server.auth=sasl",
            "VNC_INITIALIZED client.sasl_username=luiz",
            "VNC_DISCONNECTED client.sasl_username=luiz",
        ],
    )
    .files(sasl::write_configuration)
    .since(10, 0),
    Recipe::new(
        "VNC_INITIALIZED.sasl-anonymous",
        &["-vnc", "unix:vnc.sock,sasl=on"],
        |machine| {
            let stream = connect_unix(machine)?;
            let viewer = vnc::handshake(stream, Security::Sasl(Sasl::Anonymous))?;
            initialized(machine, viewer)
        },
        &["VNC_INITIALIZED client.sasl_username=anonymous"],
    )
    .files(sasl::write_configuration)
    .since(10, 0),
    Recipe::new(
        "VNC_DISCONNECTED.sasl",
        &[
            "-object",
            "tls-creds-x509,id=tls0,dir=.,endpoint=server,verify-peer=off",
            "-vnc",
            "127.0.0.1:0,to=99,tls-creds=tls0,sasl=on",
        ],
        |machine| {
            sasl::add_user(machine)?;
            refused(&visit_in_tls(machine, Security::Sasl(Sasl::PlainWrong))?)
        },
        &[
            "VNC_CONNECTED",
            "VNC_DISCONNECTED server.auth=vencrypt+x509+sasl",
        ],
    )
    .files(certificates_and_sasl),
];

fn connect_unix(machine: &mut Machine) -> Result<Box<dyn Stream>, LabError> {
    let stream = stream::unix(&machine.folder().join("vnc.sock"))?;
    machine.event("VNC_CONNECTED")?;
    Ok(stream)
}

fn connect_tcp(machine: &mut Machine) -> Result<Box<dyn Stream>, LabError> {
    let stream = stream::tcp(console_port(machine, false)?)?;
    machine.event("VNC_CONNECTED")?;
    Ok(stream)
}

fn visit_with_password(machine: &mut Machine, password: &'static str) -> Result<Viewer, LabError> {
    set_password(machine)?;
    let stream = connect_unix(machine)?;
    vnc::handshake(stream, Security::Password(password))
}

fn visit_in_tls(machine: &mut Machine, security: Security) -> Result<Viewer, LabError> {
    let stream = connect_tcp(machine)?;
    vnc::handshake_in_tls(stream, security, machine.folder())
}

fn set_password(machine: &mut Machine) -> Result<(), LabError> {
    let arguments = json!({ "protocol": "vnc", "password": "sesame" });
    machine.execute("set_password", arguments).map(drop)
}

/// The viewer is let in and looks until that is told.
fn initialized(machine: &mut Machine, viewer: Viewer) -> Result<(), LabError> {
    if !viewer.let_in {
        return Err(LabError::Unexpected("the viewer is not let in".to_owned()));
    }
    machine.event("VNC_INITIALIZED")?;
    drop(viewer);
    Ok(())
}

fn refused(viewer: &Viewer) -> Result<(), LabError> {
    match viewer.let_in {
        false => Ok(()),
        true => Err(LabError::Unexpected("the viewer is let in".to_owned())),
    }
}

/// The port QEMU chose.
fn console_port(machine: &mut Machine, websocket: bool) -> Result<u16, LabError> {
    let consoles = machine.run("query-vnc-servers")?;
    let ends = consoles[0]["server"].as_array().into_iter().flatten();
    let end = ends
        .filter(|end| end["websocket"] == websocket)
        .find_map(|end| end["service"].as_str());
    let port = end.and_then(|port| port.parse().ok());
    port.ok_or_else(|| LabError::Unexpected(format!("query-vnc-servers said {consoles}")))
}

fn certificates_and_sasl(folder: &Path) -> io::Result<()> {
    tls::write_certificates(folder)?;
    sasl::write_configuration(folder)
}

/// Some containers have no IPv6, and only root could give it to them.
fn without_ipv6() -> Option<String> {
    let bound = TcpListener::bind((Ipv6Addr::LOCALHOST, 0));
    bound
        .err()
        .map(|error| format!("this host has no ::1: {error}"))
}
