//! Plays recipes and prints every line the machine sent: `play NAME [VERSION]`. A name without a
//! variant stands for all recipes of that event.

use std::{process::ExitCode, time::Instant};

use qemu_lab::{LabError, Version, installed, recipes};

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
    let wanted = arguments.first().cloned().unwrap_or_default();
    let version: Option<Version> = arguments.get(1).map(|text| text.parse()).transpose()?;
    for recipe in recipes::all() {
        if recipe.name != wanted && recipe.event() != wanted {
            continue;
        }
        for binary in installed()? {
            let chosen = version.is_none_or(|version| version == binary.version);
            if !chosen || !recipe.works_on(binary.version) {
                continue;
            }
            let started = Instant::now();
            let mut machine = recipe.machine(&binary).start()?;
            let result = recipe.perform(&mut machine);
            println!("{} on QEMU {}:", recipe.name, binary.version);
            for event in machine.events() {
                println!("  {}", event.line);
            }
            result?;
            println!("  in {:.1} s", started.elapsed().as_secs_f64());
        }
    }
    Ok(())
}
