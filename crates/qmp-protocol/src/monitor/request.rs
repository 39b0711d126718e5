//! The shape of a command: `execute` or `exec-oob`, `arguments`, `id`, and nothing else.

use qmp_events::Version;

use super::arguments::generic;
use super::print::in_hash_order;
use super::value::{Object, Value};
use crate::CommandError;

/// A command in the right shape.
#[derive(Debug)]
pub(crate) struct Shaped {
    pub(crate) name: String,
    pub(crate) arguments: Object,
    pub(crate) oob: bool,
}

/// How a release complains about the shape of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wording {
    /// Before 2.9. From documents of that time: it was not compared with a running QEMU.
    Early,
    /// From 2.9 on.
    Current,
}

/// First release with today's words.
const CURRENT_SINCE: Version = Version::new(2, 9);

impl Wording {
    /// The words of a release.
    pub(crate) fn of(version: Version) -> Self {
        match version < CURRENT_SINCE {
            true => Self::Early,
            false => Self::Current,
        }
    }

    fn no_object(self) -> CommandError {
        generic(match self {
            Self::Early => "Expected 'object' in QMP input",
            Self::Current => "QMP input must be a JSON object",
        })
    }

    fn no_command(self) -> CommandError {
        generic(match self {
            Self::Early => "Expected 'execute' in QMP input",
            Self::Current => "QMP input lacks member 'execute'",
        })
    }

    fn wrong_type(self, member: &str, article: &str, kind: &str) -> CommandError {
        generic(match self {
            Self::Early => format!("QMP input object member '{member}' expects '{kind}'"),
            Self::Current => format!("QMP input member '{member}' must be {article} {kind}"),
        })
    }

    fn unexpected(self, member: &str) -> CommandError {
        generic(match self {
            Self::Early => format!("QMP input object member '{member}' is unexpected"),
            Self::Current => format!("QMP input member '{member}' is unexpected"),
        })
    }
}

/// Whether a message is answered ahead of what is queued: it has `exec-oob` and no `execute`, even if
/// the rest of it is wrong or the capability is off.
pub(crate) fn is_urgent(message: &Value) -> bool {
    message
        .as_object()
        .is_some_and(|object| object.contains("exec-oob") && !object.contains("execute"))
}

/// The `id` to echo, whatever else is wrong with the message.
pub(crate) fn id(message: &Value) -> Option<Value> {
    message.as_object()?.get("id").cloned()
}

/// Checks the shape. Of several faults the one in the member that QEMU's hash order puts first is told.
pub(crate) fn shape(
    message: &Value,
    oob_enabled: bool,
    wording: Wording,
) -> Result<Shaped, CommandError> {
    let Some(object) = message.as_object() else {
        return Err(wording.no_object());
    };
    let mut command: Option<(&str, &str)> = None;
    let mut arguments = None;
    for (member, value) in in_hash_order(object) {
        match member {
            "id" => {}
            "arguments" => match value.as_object() {
                Some(object) => arguments = Some(object.clone()),
                None => return Err(wording.wrong_type(member, "an", "object")),
            },
            "execute" | "exec-oob" if member == "execute" || oob_enabled => {
                let Some(name) = value.as_str() else {
                    return Err(wording.wrong_type(member, "a", "string"));
                };
                if let Some((other, _)) = command {
                    let desc = format!("QMP input member '{member}' clashes with '{other}'");
                    return Err(generic(desc));
                }
                command = Some((member, name));
            }
            _ => return Err(wording.unexpected(member)),
        }
    }
    match command {
        Some((member, name)) => Ok(Shaped {
            name: name.to_owned(),
            arguments: arguments.unwrap_or_default(),
            oob: member == "exec-oob",
        }),
        None => Err(wording.no_command()),
    }
}
