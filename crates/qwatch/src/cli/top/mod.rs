//! `qwatch top`: all machines on one screen, live.

mod app;
mod feed;
mod keys;
#[cfg(test)]
mod tests;
mod text;
mod view;

use std::io::{self, IsTerminal};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::Event;

use self::app::{App, Screen};
use self::feed::Update;
use self::view::Look;
use super::journal_arg::JournalArg;
use super::{Exit, Failure, Ui, why};
use crate::journal::Reader;
use crate::limits::{TOP_FRAME_MAX, TOP_FRAME_MIN, TOP_UPDATES_MAX};
use crate::output::Palette;
use crate::time;

/// Show all machines on one screen, live: states, events, why
///
/// Follows the journal, so a recorder must be writing it for anything to move. Keys: arrows move, Enter tells
/// why a machine is in its state, Tab goes to the events, / filters, ? lists the others, q quits.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    journal: JournalArg,

    /// Show times in UTC instead of the local zone
    #[arg(long)]
    utc: bool,
}

pub(crate) fn run(args: &Args, ui: Ui) -> Result<Exit, Failure> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(Failure::usage("top needs a terminal")
            .hint("qwatch status prints the machines, qwatch watch the events"));
    }
    let colored = ui.is_stdout_colored();
    let look = Look {
        zone: time::zone(args.utc),
        palette: Palette::new(colored),
        colored,
    };
    let mut app = App::default();
    // Before the screen is taken: what goes wrong here is told on it as anywhere else.
    let follower = args.journal.follower()?;
    let position = feed::load(&mut app, follower.reader())?;
    let (updates, inbox) = mpsc::sync_channel(TOP_UPDATES_MAX);
    feed::start(follower, args.journal.path(), position, &updates)
        .map_err(|error| Failure::new(format!("cannot start: {error}")))?;
    // Puts the terminal back in order in a panic, too.
    let mut terminal = ratatui::try_init()
        .map_err(|error| Failure::new(format!("cannot use this terminal: {error}")))?;
    let explainer = Explainer {
        reader: args.journal.reader()?,
        zone: look.zone.clone(),
        asked: None,
    };
    let ended = show(&mut app, &look, &mut terminal, explainer, &inbox);
    ratatui::restore();
    ended.map(|()| Exit::Success)
}

/// Draws, waits, takes in, until the user has seen enough.
fn show(
    app: &mut App,
    look: &Look,
    terminal: &mut DefaultTerminal,
    mut explainer: Explainer,
    inbox: &Receiver<Update>,
) -> Result<(), Failure> {
    let screen = |error: io::Error| Failure::new(format!("cannot draw: {error}"));
    loop {
        app.now_us = time::now_us();
        app.settle();
        let size = terminal.size().map_err(screen)?;
        explainer.explain(app, usize::from(size.width))?;
        let mut furthest = 0;
        terminal
            .draw(|frame| furthest = view::draw(app, look, frame))
            .map_err(screen)?;
        app.scroll = app.scroll.min(furthest);
        let page = usize::from(size.height).saturating_sub(3);
        let drawn = Instant::now();
        // Nothing for a second, or something and a tenth of a second: a storm makes no more pictures.
        let mut wait = TOP_FRAME_MAX;
        loop {
            let left = wait.saturating_sub(drawn.elapsed());
            match next(inbox, left) {
                None => break,
                Some(Update::Input(Event::Key(key))) => {
                    let Some(action) = keys::action(key, app.is_typing(), page) else {
                        continue;
                    };
                    if !app.act(action) {
                        return Ok(());
                    }
                    break;
                }
                Some(Update::Input(Event::Resize(..))) => break,
                Some(Update::Input(_)) => {}
                Some(Update::Records(records)) => {
                    records.into_iter().for_each(|record| app.take(record));
                    wait = TOP_FRAME_MIN;
                }
                Some(Update::Recorded(recorded)) => {
                    if app.recorded != recorded {
                        wait = TOP_FRAME_MIN;
                    }
                    app.recorded = recorded;
                }
                Some(Update::Failed(failure)) => return Err(failure),
                Some(Update::Quit) => return Ok(()),
            }
        }
    }
}

/// Answers why a machine is in its state, from the journal.
struct Explainer {
    reader: Reader,
    zone: TimeZone,
    /// What was asked last, and when.
    asked: Option<(String, Instant)>,
}

impl Explainer {
    /// Keeps the answer fresh while it is shown: asked anew once a second, storm or not.
    fn explain(&mut self, app: &mut App, columns: usize) -> Result<(), Failure> {
        let chosen = app.chosen().filter(|_| app.screen == Screen::Machine);
        let Some(name) = chosen.map(|(name, _)| name.to_owned()) else {
            self.asked = None;
            return Ok(());
        };
        let fresh =
            |(asked, at): &(String, Instant)| *asked == name && at.elapsed() < TOP_FRAME_MAX;
        if self.asked.as_ref().is_some_and(fresh) {
            return Ok(());
        }
        app.why = why::answer(&self.reader, &name, &self.zone, columns, app.recorded)?;
        self.asked = Some((name, Instant::now()));
        Ok(())
    }
}

/// What comes within this time; at its end, nothing. Whoever sends is gone only with the program.
fn next(inbox: &Receiver<Update>, within: Duration) -> Option<Update> {
    match inbox.recv_timeout(within) {
        Ok(update) => Some(update),
        Err(RecvTimeoutError::Timeout) => None,
        Err(RecvTimeoutError::Disconnected) => Some(Update::Quit),
    }
}
