//! Plays recipes and prints every event that came: `cargo run -p qemu-lab NAME [VERSION]`. A name
//! without a variant stands for all recipes of that event; without a name all are listed.

use std::{process::ExitCode, time::Instant};

use qemu_lab::{LabError, QemuBinary, Recipe, Version, installed, recipes};

#[expect(clippy::print_stderr, reason = "errors go there")]
fn main() -> ExitCode {
    match play() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "what it is for")]
fn play() -> Result<(), LabError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(wanted) = arguments.first() else {
        recipes::all().for_each(|recipe| println!("{}", recipe.name));
        return Ok(());
    };
    let version: Option<Version> = arguments.get(1).map(|text| text.parse()).transpose()?;
    let mut played = 0;
    for recipe in recipes::all().filter(|r| r.name == wanted || r.event() == wanted) {
        for binary in installed()? {
            if version.is_none_or(|version| version == binary.version)
                && recipe.works_on(binary.version)
            {
                play_on(recipe, &binary)?;
                played += 1;
            }
        }
    }
    match played {
        0 => Err(LabError::Setting(format!(
            "no recipe {wanted} on such a QEMU"
        ))),
        _ => Ok(()),
    }
}

#[expect(clippy::print_stdout, reason = "what it is for")]
fn play_on(recipe: &Recipe, binary: &QemuBinary) -> Result<(), LabError> {
    if let Some(why) = (recipe.host_lacks)() {
        return Err(LabError::Setting(format!(
            "{} cannot be played: {why}",
            recipe.name
        )));
    }
    let started = Instant::now();
    let mut machine = recipe.machine(binary).start()?;
    let folder = machine.folder().display().to_string();
    println!(
        "{} on {}: process {} in {folder}",
        recipe.name,
        binary.version,
        machine.pid()
    );
    let result = recipe.perform(&mut machine);
    for event in machine.events() {
        println!("  {}", event.line);
    }
    println!("  after {:.1} s", started.elapsed().as_secs_f64());
    result
}
