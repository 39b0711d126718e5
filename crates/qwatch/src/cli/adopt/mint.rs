//! Giving a running QEMU a monitor, and taking it away.
//!
//! Since QEMU 11.1 monitors are objects of type `monitor-qmp` over a chardev, and can be made and deleted at
//! any time. Facts observed on 11.1.3.

use std::path::{Path, PathBuf};

use qmp_client::{Address, Client, ExecuteError};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::cli::Failure;
use crate::cli::execute::failure;
use crate::limits::{ADOPT_ANSWER_WAIT, ADOPT_LOOK, ADOPT_REDIAL};

/// Where the new monitor is to be.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// QEMU dials a recorder.
    Dial(Address),
    /// QEMU listens on this socket file.
    Listen(PathBuf),
}

/// What makes the recorder's monitor.
#[derive(Debug)]
pub(super) struct Mint {
    /// What QEMU calls both the chardev and the monitor.
    id: String,
    target: Target,
}

/// Whether this QEMU can be given a monitor: monitors are objects in it.
pub(super) async fn is_possible(client: &Client) -> Result<bool, Failure> {
    let arguments = json!({ "implements": "monitor" });
    let types = ask(client, "qom-list-types", &arguments).await?;
    Ok(has(&types, "name", "monitor-qmp"))
}

impl Mint {
    pub(super) fn new(id: &str, target: Target) -> Self {
        Self {
            id: id.to_owned(),
            target,
        }
    }

    /// Where the machine is recorded, as `qwatch record` wants to be told.
    pub(super) fn address(&self) -> Address {
        match &self.target {
            Target::Dial(address) => address.clone(),
            Target::Listen(path) => Address::unix(path.clone()),
        }
    }

    /// The socket file that QEMU is to dial, if it is not there.
    pub(super) fn missing_recorder(&self) -> Option<&Path> {
        match &self.target {
            Target::Dial(Address::Unix { path, .. }) if !path.exists() => Some(path),
            _ => None,
        }
    }

    /// The commands that make the monitor.
    pub(super) fn making(&self) -> [Value; 2] {
        [
            json!({ "execute": "chardev-add", "arguments": self.chardev() }),
            json!({ "execute": "object-add", "arguments": self.object() }),
        ]
    }

    /// The commands that take it away.
    pub(super) fn taking(&self) -> [Value; 2] {
        let id = json!({ "id": self.id });
        [
            json!({ "execute": "object-del", "arguments": id }),
            json!({ "execute": "chardev-remove", "arguments": id }),
        ]
    }

    /// The same for the command line of a QEMU that is yet to be started.
    pub(super) fn options(&self, has_reconnect_ms: bool) -> [String; 4] {
        let id = &self.id;
        // reconnect-ms came with 9.2, where reconnect was deprecated.
        let again = match has_reconnect_ms {
            true => format!("reconnect-ms={}", ADOPT_REDIAL.as_millis()),
            false => format!("reconnect={}", ADOPT_REDIAL.as_secs()),
        };
        let chardev = match &self.target {
            Target::Dial(Address::Unix { path, .. }) => {
                format!("socket,id={id},path={},{again}", comma(path))
            }
            Target::Dial(Address::Abstract { name, .. }) => {
                format!("socket,id={id},path={name},abstract=on,{again}")
            }
            Target::Dial(Address::Tcp { host, port, .. }) => {
                format!("socket,id={id},host={host},port={port},{again}")
            }
            Target::Listen(path) => {
                format!("socket,id={id},path={},server=on,wait=off", comma(path))
            }
        };
        let words = [
            "-chardev",
            &chardev,
            "-mon",
            &format!("chardev={id},mode=control"),
        ];
        words.map(str::to_owned)
    }

    /// Makes the monitor; false if it was there already.
    pub(super) async fn make(&self, client: &Client) -> Result<bool, Failure> {
        if self.exists(client).await? {
            return Ok(false);
        }
        let chardevs = ask(client, "query-chardev", &json!({})).await?;
        // Left over from an attempt that was cut off: it may be another address.
        if has(&chardevs, "label", &self.id) {
            ask(client, "chardev-remove", &json!({ "id": self.id })).await?;
        }
        ask(client, "chardev-add", &self.chardev()).await?;
        if let Err(failure) = ask(client, "object-add", &self.object()).await {
            // As it was: the chardev serves nothing. Why the monitor was refused is what matters.
            let _ = ask(client, "chardev-remove", &json!({ "id": self.id })).await;
            return Err(failure);
        }
        Ok(true)
    }

    /// Takes the monitor away; false if there was none.
    pub(super) async fn take(&self, client: &Client) -> Result<bool, Failure> {
        if !self.exists(client).await? {
            return Ok(false);
        }
        let id = json!({ "id": self.id });
        ask(client, "object-del", &id).await?;
        // Only this ends the connection: without its monitor it stays open, and silent.
        ask(client, "chardev-remove", &id).await?;
        Ok(true)
    }

    /// Whether the recorder has answered; given some time. `None` where QEMU listens.
    pub(super) async fn is_connected(&self, client: &Client) -> Result<Option<bool>, Failure> {
        if matches!(self.target, Target::Listen(_)) {
            return Ok(None);
        }
        let until = Instant::now() + ADOPT_ANSWER_WAIT;
        loop {
            let chardevs = ask(client, "query-chardev", &json!({})).await?;
            let file = chardevs
                .as_array()
                .into_iter()
                .flatten()
                .find_map(|chardev| {
                    (chardev["label"] == self.id.as_str()).then(|| chardev["filename"].as_str())?
                });
            if file.is_some_and(|file| !file.starts_with("disconnected:")) {
                return Ok(Some(true));
            }
            if Instant::now() >= until {
                return Ok(Some(false));
            }
            sleep(ADOPT_LOOK).await;
        }
    }

    async fn exists(&self, client: &Client) -> Result<bool, Failure> {
        let objects = ask(client, "qom-list", &json!({ "path": "/objects" })).await?;
        Ok(has(&objects, "name", &self.id))
    }

    fn chardev(&self) -> Value {
        let (address, server) = match &self.target {
            Target::Dial(Address::Unix { path, .. }) => (unix(path), false),
            Target::Dial(Address::Abstract { name, .. }) => (
                json!({ "type": "unix", "data": { "path": name, "abstract": true } }),
                false,
            ),
            Target::Dial(Address::Tcp { host, port, .. }) => (
                json!({ "type": "inet", "data": { "host": host, "port": port.to_string() } }),
                false,
            ),
            Target::Listen(path) => (unix(path), true),
        };
        let mut data = json!({ "addr": address, "server": server });
        if server {
            data["wait"] = Value::Bool(false);
        } else {
            data["reconnect-ms"] = json!(ADOPT_REDIAL.as_millis());
        }
        json!({ "id": self.id, "backend": { "type": "socket", "data": data } })
    }

    fn object(&self) -> Value {
        json!({ "qom-type": "monitor-qmp", "id": self.id, "chardev": self.id })
    }
}

fn unix(path: &Path) -> Value {
    json!({ "type": "unix", "data": { "path": path.to_string_lossy() } })
}

/// A comma in a value of an option is written twice.
fn comma(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

async fn ask(client: &Client, command: &str, arguments: &Value) -> Result<Value, Failure> {
    let answer: Result<Value, ExecuteError> = client.execute_as(command, arguments).await;
    answer.map_err(|error| failure(command, &error))
}

/// Whether a list of objects has one with this member.
fn has(list: &Value, member: &str, value: &str) -> bool {
    let items = list.as_array().into_iter().flatten();
    items.into_iter().any(|item| item[member] == value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dial(address: &str) -> Mint {
        Mint::new("qwatch", Target::Dial(address.parse().expect("an address")))
    }

    #[test]
    fn the_command_line_is_that_of_the_release() {
        let unix = dial("/run/a,b/qmp.sock");
        assert_eq!(
            unix.options(true).join(" "),
            "-chardev socket,id=qwatch,path=/run/a,,b/qmp.sock,reconnect-ms=1000 \
             -mon chardev=qwatch,mode=control"
        );
        assert!(unix.options(false)[1].ends_with(",reconnect=1"));
        assert!(dial("tcp:h:4444").options(true)[1].contains("host=h,port=4444,"));
        assert!(dial("@qw").options(true)[1].contains("path=qw,abstract=on,"));
        let listens = Mint::new("w", Target::Listen("/run/w.sock".into()));
        assert_eq!(
            listens.options(false)[1],
            "socket,id=w,path=/run/w.sock,server=on,wait=off"
        );
    }

    #[test]
    fn the_commands_are_qmp() {
        let [chardev, object] = dial("tcp:h:4444").making();
        assert_eq!(
            chardev["arguments"]["backend"]["data"],
            json!({
                "addr": { "type": "inet", "data": { "host": "h", "port": "4444" } },
                "server": false,
                "reconnect-ms": 1000,
            })
        );
        assert_eq!(object["arguments"]["qom-type"], "monitor-qmp");
    }
}
