//! The commands every monitor has.

use qmp_events::{EventKind, Version};
use qmp_protocol::monitor::{Arguments, Object, Personality, Value};

use crate::commands::{ArgumentKind, CommandInfo, CommandResult};
use crate::schema;

/// Answers what a monitor knows of itself: version, commands, events, and name and uuid if given.
#[derive(Debug)]
pub(crate) struct Builtins {
    personality: Personality,
    name: Option<String>,
    uuid: Option<String>,
    /// All commands of the monitor, for `query-commands`.
    commands: Vec<CommandInfo>,
    /// How many of them, at the front, are built in.
    own: usize,
}

/// First release without `query-events`.
const QUERY_EVENTS_REMOVED: Version = Version::new(6, 0);

/// First release with `query-qmp-schema`.
const QUERY_QMP_SCHEMA_SINCE: Version = Version::new(2, 5);

impl Builtins {
    /// The commands, together with those of the embedder; of two with one name the embedder's is meant.
    pub(crate) fn new(
        personality: Personality,
        name: Option<String>,
        uuid: Option<String>,
        embedder: Vec<CommandInfo>,
    ) -> Self {
        let mut names = vec!["query-version", "query-commands"];
        if personality.version < QUERY_EVENTS_REMOVED {
            names.push("query-events");
        }
        if personality.version >= QUERY_QMP_SCHEMA_SINCE {
            names.push("query-qmp-schema");
        }
        if name.is_some() {
            names.push("query-name");
        }
        if uuid.is_some() {
            names.push("query-uuid");
        }
        let mut commands = vec![negotiation(personality.oob)];
        commands.extend(names.into_iter().map(CommandInfo::new));
        commands.retain(|info| embedder.iter().all(|own| own.name != info.name));
        let own = commands.len();
        commands.extend(embedder);
        Self {
            personality,
            name,
            uuid,
            commands,
            own,
        }
    }

    /// Whether a command is built in and not the embedder's.
    pub(crate) fn is_own(&self, name: &str) -> bool {
        self.commands
            .iter()
            .take(self.own)
            .any(|info| info.name == name)
    }

    /// What is known of a command; `None`: there is none of that name.
    pub(crate) fn info(&self, name: &str) -> Option<&CommandInfo> {
        self.commands.iter().find(|info| info.name == name)
    }

    /// Runs a built-in command.
    pub(crate) fn execute(&self, name: &str, arguments: Arguments<'_>) -> CommandResult {
        arguments.finish()?;
        Ok(match name {
            "query-version" => self.personality.version_info(),
            "query-commands" => {
                let names = self.commands.iter().map(|info| info.name.as_str());
                named(names)
            }
            "query-events" => {
                let version = self.personality.version;
                let kinds = EventKind::ALL.iter().map(|kind| kind.facts());
                named(
                    kinds
                        .filter(|facts| facts.exists_in(version))
                        .map(|facts| facts.name),
                )
            }
            "query-qmp-schema" => schema::describe(self.personality.version, &self.commands),
            "query-name" => Object::new().with_some("name", self.name.as_deref()).into(),
            "query-uuid" => Object::new().with_some("UUID", self.uuid.as_deref()).into(),
            _ => Object::new().into(),
        })
    }
}

/// The command that begins every session. What it enables came with out-of-band execution.
fn negotiation(oob: bool) -> CommandInfo {
    let command = CommandInfo::new("qmp_capabilities").without_return();
    match oob {
        true => command.with_optional("enable", ArgumentKind::Words(vec!["oob".to_owned()])),
        false => command,
    }
}

/// A list of objects that have only a name.
fn named<'a>(names: impl Iterator<Item = &'a str>) -> Value {
    let objects = names.map(|name| Value::from(Object::new().with("name", name)));
    Value::Array(objects.collect())
}
