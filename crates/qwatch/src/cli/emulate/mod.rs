//! `qwatch emulate`: a QEMU that exists only as its monitor.

use std::fs;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use super::{Exit, Failure, Ui, block_on};
use crate::emulate::{
    Action, Emulated, Fault, Hooks, MachineSettings, Player, ReplayError, Scenario, recording,
};
use crate::limits::SCENARIO_MAX_BYTES;

mod console;
mod endpoint;
mod lifetime;
mod reach;

use endpoint::Endpoint;
use reach::Reach;

/// Be a QEMU that exists only as its monitor: for tests of whatever speaks QMP
///
/// Greets, negotiates, limits and words its errors as the release it is, answers the usual queries to
/// match what it emitted, and obeys stop, cont, system_reset, system_powerdown, quit. What happens to it
/// comes from a scenario, from a recording, or line by line from standard input (`help` lists what there
/// is). Prints its address on one line once it can be reached. Ends like QEMU, with SHUTDOWN, on SIGTERM,
/// SIGINT, and with the process that started it.
///
/// The time of a scenario or recording begins once the first client has negotiated.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// A scenario, TOML: what the machine is and what happens to it (docs/emulate.md)
    #[arg(value_name = "SCENARIO.toml", value_hint = clap::ValueHint::FilePath)]
    scenario: Option<PathBuf>,

    /// Where clients reach it, as for QEMU's -qmp: unix:PATH, tcp:HOST:PORT (0: any free port), or
    /// unix:PATH,server=off to dial; may be repeated
    #[arg(long, value_name = "ADDRESS", required = true, value_parser = Endpoint::parse)]
    listen: Vec<Endpoint>,

    /// The release of QEMU to be, such as 7.2 or 7.2.22; 10.0.0 if not said
    #[arg(long = "as", value_name = "VERSION")]
    version: Option<String>,

    /// The machine's name
    #[arg(long)]
    name: Option<String>,

    /// The machine's UUID
    #[arg(long)]
    uuid: Option<String>,

    /// Print messages over several lines, as QEMU's pretty=on
    #[arg(long)]
    pretty: bool,

    /// Play a recording: raw QMP text, or a journal
    #[arg(long, value_name = "FILE", conflicts_with = "scenario", value_hint = clap::ValueHint::FilePath)]
    replay: Option<PathBuf>,

    /// The machine of the journal to play
    #[arg(long, value_name = "NAME", requires = "replay")]
    machine: Option<String>,

    /// Leave the recording's own time stamps, rather than those of the time it is played at
    #[arg(long, requires = "replay")]
    keep_stamps: bool,

    /// Play so many times faster, or slower if below 1
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = super::demo::parse_speed)]
    speed: f64,

    /// Do what a monitor may do once a year, NAME or NAME=ARGUMENT; may be repeated (docs/emulate.md)
    #[arg(long = "fault", value_name = "FAULT")]
    faults: Vec<Fault>,

    /// Print JSON Lines: the address, and what each client and the machine say
    #[arg(long)]
    json: bool,

    /// Begin the scenario or recording at once, not with the first client
    #[arg(long)]
    at_once: bool,

    /// Stay when the process that started it ends
    #[arg(long)]
    outlive_parent: bool,
}

pub(crate) fn run(args: &Args, ui: Ui) -> Result<Exit, Failure> {
    let mut scenario = match &args.scenario {
        Some(path) => read(path)?,
        None => Scenario::default(),
    };
    if let Some(file) = &args.replay {
        let played = recording(file, args.machine.as_deref(), args.keep_stamps);
        scenario.timeline = played.map_err(unplayable)?;
        // What it does is in the recording.
        scenario.paused = true;
    }
    args.change(&mut scenario.machine);
    let mut faults = args.faults.clone();
    for fault in &scenario.faults {
        faults.push(fault.parse().map_err(Failure::usage)?);
    }
    let paused = scenario.paused;
    let settings = scenario.machine.clone();
    let (player, waiting) = Player::new(std::mem::take(&mut scenario.timeline), args.speed);
    let hooks = hooks(scenario, &player);
    let reach = Reach::open(&args.listen, &faults, args.json)?;
    let machine = Emulated::start_with(settings, hooks, |builder| {
        let builder = builder.pretty(args.pretty);
        reach
            .endpoints()
            .iter()
            .fold(builder, |builder, endpoint| endpoint.add_to(builder))
    });
    let machine = machine.map_err(Failure::new)?;
    if !paused {
        machine.fate().act(&Action::PowerOn);
    }
    waiting.play(machine.fate()).map_err(cannot_start)?;
    if args.at_once {
        player.start();
    }
    let has_script = args.scenario.is_some() || args.replay.is_some();
    let parent = match args.outlive_parent {
        true => lifetime::Parent::Ignored,
        false => lifetime::Parent::take(),
    };
    let reach = block_on(async {
        let signals = lifetime::Signals::take().map_err(cannot_start)?;
        let reach = reach.ready(machine.tcp_addresses())?;
        if !has_script {
            if io::stdin().is_terminal() {
                ui.note("write `help` for what can happen");
            }
            console::listen(machine.fate(), ui).map_err(cannot_start)?;
        }
        let ended = lifetime::wait(machine, signals, parent).await;
        ended.map_err(Failure::new)?;
        Ok(reach)
    })?;
    reach.drain();
    Ok(Exit::Success)
}

impl Args {
    /// What is said on the command line goes before what is said in the scenario.
    fn change(&self, machine: &mut MachineSettings) {
        for (said, setting) in [
            (&self.version, &mut machine.version),
            (&self.name, &mut machine.name),
            (&self.uuid, &mut machine.uuid),
        ] {
            if let Some(said) = said {
                setting.clone_from(said);
            }
        }
    }
}

fn read(path: &Path) -> Result<Scenario, Failure> {
    let name = path.display();
    let cannot = |error: io::Error| Failure::new(format!("cannot read {name}: {error}"));
    let file = fs::File::open(path).map_err(cannot)?;
    let mut text = String::new();
    let mut limited = file.take(SCENARIO_MAX_BYTES + 1);
    limited.read_to_string(&mut text).map_err(cannot)?;
    if limited.limit() == 0 {
        let error = format!("{name} is longer than {SCENARIO_MAX_BYTES} bytes");
        return Err(Failure::usage(error));
    }
    Scenario::read(&text).map_err(|error| Failure::usage(format!("{name}: {error}")))
}

fn unplayable(error: ReplayError) -> Failure {
    match error {
        ReplayError::Machines(_) => Failure::usage(error),
        other => Failure::new(other),
    }
}

/// What follows commands, and the beginning of time.
fn hooks(scenario: Scenario, player: &Player) -> Hooks {
    let (on_ready, follow) = (player.clone(), player.clone());
    let mut answers = scenario.answers;
    let steps = scenario.on_command;
    let after_negotiation = steps.get(NEGOTIATION).cloned().unwrap_or_default();
    let own = crate::emulate::own_commands();
    for name in steps.keys().filter(|name| *name != NEGOTIATION) {
        if !own.contains(&name.as_str()) {
            // A command that only the scenario knows succeeds.
            let nothing = qmp_monitor::Object::new();
            answers.entry(name.clone()).or_insert(Ok(nothing.into()));
        }
    }
    Hooks {
        answers,
        on_ready: Some(Box::new(move || {
            on_ready.start();
            for sequence in &after_negotiation {
                on_ready.add(sequence.clone());
            }
        })),
        on_command: Some(Box::new(move |fate, command| {
            for sequence in steps.get(command).into_iter().flatten() {
                let (now, later) = sequence.split();
                now.iter().for_each(|deed| fate.perform(deed));
                if let Some(later) = later {
                    follow.add(later.into());
                }
            }
        })),
    }
}

const NEGOTIATION: &str = "qmp_capabilities";

fn cannot_start(error: io::Error) -> Failure {
    Failure::new(format!("cannot start: {error}"))
}
