//! The embedder's own commands.

use qmp_events::Event;
use qmp_protocol::monitor::{Arguments, Object, Ticket, Value};
use qmp_protocol::{CommandError, ErrorClass};

use crate::emitter::Emitter;
use crate::hub::SessionId;

/// What is answered to a command.
pub type CommandResult = Result<Value, CommandError>;

/// What a machine does when a client asks. [`CommandTable`] is the short way to one.
///
/// Called on the monitor's thread (or in the embedder's loop), one in-band command at a time, and never
/// while an event is being emitted; so it may emit, and what it emits is sent before its answer, as QEMU
/// does. A panic in it ends the monitor.
pub trait Commands: Send {
    /// The commands there are. Asked once.
    fn list(&self) -> Vec<CommandInfo>;

    /// Runs one of [`Commands::list`]. Blocking here holds up the other commands of all clients, not the
    /// emitting of events; what takes long is answered later, see [`Call::defer`].
    fn execute(&mut self, call: Call<'_>) -> Answer;
}

/// One command a machine has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommandInfo {
    /// Its name.
    pub name: String,
    /// It may be executed out of band.
    pub oob: bool,
    /// Its arguments, as `query-qmp-schema` tells them; checking them is up to the command.
    pub arguments: Vec<ArgumentInfo>,
    /// What it returns is always `{}`; else `query-qmp-schema` says `any`.
    pub returns_nothing: bool,
}

/// One argument of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArgumentInfo {
    /// Its name.
    pub name: String,
    /// What may stand there.
    pub kind: ArgumentKind,
    /// It may be left out.
    pub optional: bool,
}

/// The type of an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArgumentKind {
    /// A string.
    String,
    /// A whole number.
    Int,
    /// Any number.
    Number,
    /// `true` or `false`.
    Bool,
    /// A list of some of these words.
    Words(Vec<String>),
    /// Any JSON value.
    Any,
}

impl CommandInfo {
    /// A command that is executed in order.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            oob: false,
            arguments: Vec::new(),
            returns_nothing: false,
        }
    }

    /// It has this argument, always.
    #[must_use]
    pub fn with_argument(self, name: &str, kind: ArgumentKind) -> Self {
        self.with(name, kind, false)
    }

    /// It has this argument, which may be left out.
    #[must_use]
    pub fn with_optional(self, name: &str, kind: ArgumentKind) -> Self {
        self.with(name, kind, true)
    }

    /// It returns `{}`, always.
    #[must_use]
    pub fn without_return(mut self) -> Self {
        self.returns_nothing = true;
        self
    }

    fn with(mut self, name: &str, kind: ArgumentKind, optional: bool) -> Self {
        self.arguments.push(ArgumentInfo {
            name: name.to_owned(),
            kind,
            optional,
        });
        self
    }

    /// It may be executed out of band as well.
    #[must_use]
    pub fn with_oob(mut self) -> Self {
        self.oob = true;
        self
    }
}

/// One command of a client.
#[derive(Debug)]
pub struct Call<'a> {
    pub(crate) name: &'a str,
    pub(crate) arguments: &'a Object,
    pub(crate) emitter: &'a Emitter,
    pub(crate) session: SessionId,
    pub(crate) ticket: Ticket,
}

impl<'a> Call<'a> {
    /// Name of the command.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// A reader of its arguments that complains as QEMU does.
    pub fn arguments(&self) -> Arguments<'a> {
        Arguments::new(self.arguments)
    }

    /// Its arguments as sent.
    pub fn raw_arguments(&self) -> &'a Object {
        self.arguments
    }

    /// An event the command causes; it is sent before the answer.
    pub fn emit<'e>(&self, event: impl Into<Event<'e>>) {
        self.emitter.emit(event);
    }

    /// The machine's emitter.
    pub fn emitter(&self) -> &'a Emitter {
        self.emitter
    }

    /// Answers later: return the [`Answer`], keep the [`Reply`] and send it from any thread.
    ///
    /// Further in-band commands of all clients wait until then, as they do in QEMU; commands out of band
    /// and events do not.
    pub fn defer(&self) -> (Answer, Reply) {
        let reply = Reply {
            emitter: self.emitter.clone(),
            session: self.session,
            ticket: self.ticket,
            sent: false,
        };
        (Answer(None), reply)
    }
}

/// What [`Commands::execute`] gives back: a result, or the word that a [`Reply`] will follow.
#[derive(Debug)]
pub struct Answer(pub(crate) Option<CommandResult>);

impl From<CommandResult> for Answer {
    fn from(result: CommandResult) -> Self {
        Self(Some(result))
    }
}

/// The answer to come to one command. Dropped unsent, it answers with an error.
#[derive(Debug)]
pub struct Reply {
    emitter: Emitter,
    session: SessionId,
    ticket: Ticket,
    sent: bool,
}

impl Reply {
    /// Answers the command; passed over if its client has left.
    pub fn send(mut self, result: CommandResult) {
        self.sent = true;
        self.emitter.reply(self.session, self.ticket, result);
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if !self.sent {
            let error = generic_error("The command was given up");
            self.emitter.reply(self.session, self.ticket, Err(error));
        }
    }
}

/// An error of the class `GenericError`.
pub fn generic_error(desc: impl Into<String>) -> CommandError {
    CommandError {
        class: ErrorClass::GenericError,
        desc: desc.into(),
    }
}

/// What a command of a [`CommandTable`] does.
type Handler = Box<dyn FnMut(&Call<'_>) -> CommandResult + Send>;

/// Commands given one by one, as closures.
///
/// ```
/// use qmp_events::vocabulary::Stop;
/// use qmp_monitor::{CommandTable, Object};
///
/// let commands = CommandTable::new().with("stop", |call| {
///     call.arguments().finish()?;
///     call.emit(Stop::default());
///     Ok(Object::new().into())
/// });
/// ```
#[derive(Default)]
pub struct CommandTable {
    entries: Vec<(CommandInfo, Handler)>,
}

impl CommandTable {
    /// No commands.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a command.
    #[must_use]
    pub fn with(
        self,
        name: &str,
        handler: impl FnMut(&Call<'_>) -> CommandResult + Send + 'static,
    ) -> Self {
        self.with_info(CommandInfo::new(name), handler)
    }

    /// Adds a command with all that can be said of it.
    #[must_use]
    pub fn with_info(
        mut self,
        info: CommandInfo,
        handler: impl FnMut(&Call<'_>) -> CommandResult + Send + 'static,
    ) -> Self {
        self.entries.push((info, Box::new(handler)));
        self
    }
}

impl std::fmt::Debug for CommandTable {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.entries.iter().map(|(info, _)| &info.name);
        out.debug_list().entries(names).finish()
    }
}

impl Commands for CommandTable {
    fn list(&self) -> Vec<CommandInfo> {
        self.entries.iter().map(|(info, _)| info.clone()).collect()
    }

    fn execute(&mut self, call: Call<'_>) -> Answer {
        let entry = self
            .entries
            .iter_mut()
            .find(|(info, _)| info.name == call.name);
        match entry {
            Some((_, handler)) => handler(&call).into(),
            None => Err(generic_error("The command is not in the table")).into(),
        }
    }
}
